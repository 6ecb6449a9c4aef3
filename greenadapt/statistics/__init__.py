"""Numbers from raw readings: means with intervals, paired ratios, accuracies, the summary of a profile.

Every function is pure and gives the same digits for the same readings, so that `greenadapt check` can
compute a profile's summary again.

    intervals    interval: mean of repeated readings with its 95 % interval, plain or on the log scale
    blocks       paired_ratio: other / base from the trials of one interleaved run, block by block
    stages       settle: how many blocks a run has, decided from its pilot
    summaries    summarize: everything a profile derives from its trials
    decisions    execution_of: all a profile says of an adaptive network's blocks, from its packed record
    shares       wilson: interval of a share, such as top-1 accuracy; pack_hits, unpack_hits: a bit an image
"""

from __future__ import annotations

from greenadapt.statistics.blocks import Quantity, counted, paired_ratio, per_block
from greenadapt.statistics.decisions import execution_of, path_cost, unpack_labels, unpack_table
from greenadapt.statistics.intervals import CONFIDENCE, Z_95, interval, student_t
from greenadapt.statistics.shares import pack_hits, unpack_hits, wilson
from greenadapt.statistics.stages import affordable_range, decided, pilot_blocks, reach_fraction, settle
from greenadapt.statistics.summaries import coefficient_of_variation, idle_watts, summarize

__all__ = [
    "CONFIDENCE",
    "Z_95",
    "Quantity",
    "affordable_range",
    "coefficient_of_variation",
    "counted",
    "decided",
    "execution_of",
    "idle_watts",
    "interval",
    "pack_hits",
    "paired_ratio",
    "path_cost",
    "per_block",
    "pilot_blocks",
    "reach_fraction",
    "settle",
    "student_t",
    "summarize",
    "unpack_hits",
    "unpack_labels",
    "unpack_table",
    "wilson",
]
