"""Places that networks come from.

greenadapt.sources
├── timm        timm:resnet50.a1_in1k     timm's networks and those of `greenadapt.zoo`
├── folder      local-dir:some/folder     a folder in timm's format, or one saved by greenadapt
├── hub         hf-hub:owner/name         either of these on the Hugging Face Hub
├── embedded    embedded:resnet20         the trained networks shipped with this package
├── ibm         ibm:bLResNet-50.pth.tar   a checkpoint of the Big-Little authors
├── building    what they share: build a timm network around a file of weights
├── checkpoints read such a file without running code from it
└── network     whether a server answers, within seconds
"""
