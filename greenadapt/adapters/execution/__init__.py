"""Run a chain of residual blocks on the samples that need them.

The whole policy is known before the first block: a table of booleans, one row a sample, one column a block.
It goes to the host once a batch; nothing else waits for the device. Four ways to run it give the same logits:

    one path   every sample keeps the same blocks: dropped ones are not called
    grouped    samples of one path run together, as a static network each, and are put back in order
    gathered   each block runs on the samples that keep it, the others pass by its shortcut
    masked     each block runs on all samples and its output is masked: saves nothing, for checks

    runs.py      what a gate is told: OnePath, Masked, Gathered
    placing.py   rows of a batch: which ones, taken out, put back
    grouping.py  execute: from a table to the output of the whole batch
    costs.py     what a block costs for n samples on this device, measured; auto takes the cheapest way

A gated block (`greenadapt.adapters.gates`) asks the run that is under way in its own thread what to do;
outside a run it is an ordinary block. A run holds the table as explicit tensors, and gates checkpoint
themselves, so that a recomputed forward sees the table of the first.
"""

from __future__ import annotations

from greenadapt.adapters.execution.costs import CostModel, costs_of, measure_costs
from greenadapt.adapters.execution.grouping import MODES, Mode, execute
from greenadapt.adapters.execution.runs import Gathered, Masked, OnePath
from greenadapt.adapters.gates import Gated, Rowwise, Run, running, under

__all__ = [
    "MODES",
    "CostModel",
    "Gated",
    "Gathered",
    "Masked",
    "Mode",
    "OnePath",
    "Rowwise",
    "Run",
    "costs_of",
    "execute",
    "measure_costs",
    "running",
    "under",
]
