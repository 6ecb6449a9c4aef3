"""Big-Little Net: a deep branch at half resolution beside a light one at full resolution.

    config.py     the options
    families/     which stages of which networks convert, and how a block of theirs halves
    depths.py     gives a ResNet the paper's numbers of blocks
    branching.py  makes two branches and a fusion block of each stage
    thinning.py   cuts a copy of a block down to 1/alpha of its width
    selection.py  fills a thin block with the strongest channels of the base's
    sketch.py     tries a conversion without weights, and counts what it saves
    resolution.py refuses images too small for half resolution
    adapter.py    converts a network, every one of its weights inherited
    objective.py  re-estimates batch norms, then learns from labels and from the base

The two branches of a stage, and of the stem, are `greenadapt.zoo.bl_stages`.

Source: Chen et al., "Big-Little Net: An Efficient Multi-Scale Feature Representation for Visual and Speech
Recognition", ICLR 2019. The paper trains from scratch; the conversion is ours.
"""
