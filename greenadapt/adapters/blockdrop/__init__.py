"""BlockDrop: a small policy network looks at each image and decides which residual blocks to run.

    config.py      the options
    adapter.py     gates the blocks of a model and adds the policy
    description.py what `describe` says of a model
    policy.py      the policy network                          policy_net.py  any of timm's, made to fit
    fixed.py       fixed policies, its honest rivals, and the best of them found on images
    beginning.py   where a learned policy begins: with a path, or where a fixed path was trained to
    objectives/    trains the policy: as in the paper, or from a path on
    paths.py       limits a trained policy to a few paths      static.py      each of them as a plain network
    payback.py     what it can save on this device             parts.py       timed part by part

Source: Wu et al., "BlockDrop: Dynamic Inference Paths in Residual Networks", CVPR 2018.
"""
