"""Ways to make a model spend less, and what they are built from.

residual.py      find the residual blocks of a model, and what each one's shortcut is
execution.py     run a chain of blocks on the samples that need them
retrofit.py      give an existing module another class, so that it can be copied and pickled
options.py       checks that the options of every adapter need
distillation.py  the objective that adapters start from: labels, and a teacher's logits
blockdrop/       choose per image which residual blocks to run
biglittle/       split a network into a deep branch at half resolution and a light one at full resolution
"""
