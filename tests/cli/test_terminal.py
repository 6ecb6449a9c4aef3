"""What changes when stderr is a terminal: colour, unless NO_COLOR is set, and a bar instead of lines."""

import os
import pty
import subprocess
import sys

from tests.cli.conftest import ROOT


def on_a_terminal(program, **environment):
    """What a process prints to a terminal as its stderr."""
    reader, writer = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=writer,
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        env={**inherited, "TERM": "xterm", **environment},
    )
    os.close(writer)
    said = b""
    while True:
        try:
            piece = os.read(reader, 4096)
        except OSError:  # what Linux raises when the other side is closed
            break
        if not piece:
            break
        said += piece
    process.wait(timeout=30)
    os.close(reader)
    return said.decode()


FAILING = (
    "import sys; sys.argv = ['greenadapt', 'show', 'missing.json']; from greenadapt.cli import main; main()"
)
WORKING = """
import time
from greenadapt.cli.output import progress
with progress() as show:
    show('warming up net[bold]', 0.2)
    time.sleep(0.3)
    show('loss 0.5 …', 0.5)
    time.sleep(0.3)
    show('trials', 1.0)
"""


def test_an_error_is_red_on_a_terminal_unless_no_color_is_set():
    assert "\x1b[31m" in on_a_terminal(FAILING)
    plain = on_a_terminal(FAILING, NO_COLOR="1")
    assert "\x1b[" not in plain
    assert "There is no profile at missing.json." in plain


def test_a_bar_on_a_terminal_shows_the_passing_messages_too():
    said = on_a_terminal(WORKING)
    assert "100 %" in said
    assert "net[bold]" in said


def test_a_line_per_phase_off_it():
    done = subprocess.run(
        [sys.executable, "-c", WORKING], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stderr.splitlines() == ["warming up net[bold]", "trials"]
    assert done.stdout == ""
