"""Big-Little Net: a deep branch at half resolution beside a light one at full resolution.

    config.py     the options
    families.py   which stages of which networks convert, and how a block of theirs changes its stride
    adapter.py    converts a network, every one of its weights inherited
    objective.py  re-estimates batch norms, then learns from labels and from the base

The two branches of a stage, and of the stem, are `greenadapt.zoo.bl_stages`.

Source: Chen et al., "Big-Little Net: An Efficient Multi-Scale Feature Representation for Visual and Speech
Recognition", ICLR 2019. The paper trains from scratch; the conversion is ours.
"""
