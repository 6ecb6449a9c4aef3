"""`make bench-energy`: what measuring must reach, against a simulator that knows the truth.

    __main__.py    the command: runs the groups, writes docs/results/energy.json, draws the page
    rows.py        Row: one line of the table; percentiles and shares
    boards.py      a pool of processes, each with simulated boards of its own
    loads.py       calls that take a known time and draw a known power
    calls.py       joules per call of `measure` against the oracle                     real time
    bursts.py      `window` around 1,000 arbitrary bursts                              real time
    peers.py       `window`, Zeus and CodeCarbon around the very same blocks           real time
    periods.py     how often the counter moves, as found                               real time
    cost.py        what measuring costs                                                real time
    protocol.py    the statistics: rows of tests/bench/audits.py                       virtual time
    injected.py    faults and forms of device selection: rows of tests/bench/faults.py
    page.py        docs/results/energy.md from docs/results/energy.json

Each group is a function ``rows(quick, seed) -> list[Row]``. Nothing here touches a network or a real board.
"""
