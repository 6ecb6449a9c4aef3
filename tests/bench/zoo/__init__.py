"""Which of timm's networks BlockDrop wraps, and whether what it drops is what it says."""
