"""Augmentation of training clips, as the recipes of MViT have it: what is drawn for a clip, and how it is done.

Modules, each of which uses those above it:
    operations  the operations of RandAugment on pictures
    policy      RandAugment and color jitter: which operations a clip gets
    boxes       random boxes: crops of any aspect, and the places of random erasing
    erasing     boxes of a clip that the device fills with noise
    clips       all of these together, as the config asks for them

All draws are functions of (seed, epoch, video, clip). Pictures stay uint8; only erasing happens on the device.
"""
