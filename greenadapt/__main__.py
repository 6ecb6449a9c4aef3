"""``python -m greenadapt`` is the command ``greenadapt``."""

from greenadapt.cli import main

if __name__ == "__main__":
    main()
