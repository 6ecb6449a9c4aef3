"""BlockDrop: a small policy network looks at each image and decides which residual blocks to run.

    config.py     the options
    policy.py     the policy network, and the fixed policies that are its honest rivals
    adapter.py    gates the blocks of a model and adds the policy
    objective.py  trains the policy by REINFORCE with a curriculum, then both networks together

Source: Wu et al., "BlockDrop: Dynamic Inference Paths in Residual Networks", CVPR 2018.
"""
