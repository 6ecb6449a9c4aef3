"""Places that a finished folder can go to. Publishers move; they do not draw.

greenadapt.publishers
├── profiles    profiles:FOLDER        the profile alone, into a folder of profiles with an index
├── hub         hf-hub:owner/name      the whole folder, to the Hugging Face Hub
└── rules       what is fit to be published at all
"""
