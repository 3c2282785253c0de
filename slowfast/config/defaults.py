"""All configuration keys with their defaults.

Names and defaults are those of published recipes, which load unchanged. Keys marked "no effect" are accepted at their
default, and `checks.py` refuses other values or warns of them. Units: pixels for sizes, epochs for positions in
training, clips over the devices of one machine for batch sizes.
"""

from slowfast.config.node import CfgNode

_C = CfgNode()

# The machine(s) and the run -----------------------------------------------------------------------

_C.NUM_GPUS = 1  # Processes on this machine, one device each; 0: one process on the CPU
_C.NUM_SHARDS = 1  # Machines that train together
_C.SHARD_ID = 0  # Number of this machine, from 0
_C.DIST_BACKEND = "nccl"  # Communication between processes: nccl, gloo; on CPUs always gloo
_C.DIST_TIMEOUT_MIN = 40.0  # Minutes to wait for machines at the start, and for a rank that does not answer. More than
# DATA_LOADER.TIMEOUT_SEC: a loader that hangs reports more than the ranks that wait for it
_C.OUTPUT_DIR = "."  # Folder of the results, created if missing; load_config: ./runs/<config> unless it is given
_C.RNG_SEED = 1  # Seed of initial weights, order of videos, sampling of clips and dropout
_C.LOG_PERIOD = 10  # Iterations between two log lines
_C.LOG_MODEL_INFO = True  # Log parameters, GFLOPs and activations of the model before training
_C.TASK = ""  # no effect

# Training -----------------------------------------------------------------------------------------

_C.TRAIN = CfgNode()
_C.TRAIN.ENABLE = True  # Train the model
_C.TRAIN.DATASET = "kinetics"  # Name in DATASET_REGISTRY, in any case: kinetics, ssv2, charades, ...
_C.TRAIN.BATCH_SIZE = 64  # Clips per iteration on one machine
_C.TRAIN.EVAL_PERIOD = 10  # Epochs between evaluations; 0: none, and no validation list is read
_C.TRAIN.CHECKPOINT_PERIOD = 10  # Epochs between checkpoints; 0: only one, after the last epoch
_C.TRAIN.CHECKPOINT_MINUTES = 0.0  # Minutes between checkpoints inside an epoch, each replacing the last; 0: none
_C.TRAIN.CHECKPOINT_KEEP = 0  # Checkpoints of epochs to keep, the newest; 0: all. The best one is always kept
_C.TRAIN.AUTO_RESUME = True  # Resume from the last checkpoint in OUTPUT_DIR if there is one
_C.TRAIN.CHECKPOINT_FILE_PATH = ""  # Initial weights; random if empty
_C.TRAIN.CHECKPOINT_TYPE = "pytorch"  # pytorch or caffe2, without effect: the format is detected
_C.TRAIN.CHECKPOINT_INFLATE = False  # Repeat the kernels of a 2-D network over time
_C.TRAIN.CHECKPOINT_EPOCH_RESET = False  # Load weights only, and start at epoch 0
_C.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN = []  # Text to remove from the names of the parameters in the file
_C.TRAIN.CHECKPOINT_IN_INIT = False  # MViT: repeat the kernels of a network for images over time, undivided
_C.TRAIN.MIXED_PRECISION = False  # On GPUs: bfloat16 if the device supports it, else float16 with a loss scaler
_C.TRAIN.COMPILE = False  # Compile the training step with torch.compile, once for each shape of the schedule
_C.TRAIN.EARLY_STOP = 0  # End after this many evaluations without a better one; 0: train to the end
_C.TRAIN.KILL_LOSS_EXPLOSION_FACTOR = 0.0  # no effect

# Testing ------------------------------------------------------------------------------------------

_C.TEST = CfgNode()
_C.TEST.ENABLE = True  # Test on all views, after training if that is enabled
_C.TEST.DATASET = "kinetics"  # As TRAIN.DATASET
_C.TEST.BATCH_SIZE = 8  # Clips per iteration on one machine, rounded down to complete videos, at least one per device
_C.TEST.CHECKPOINT_FILE_PATH = ""  # To test: a file, or best: that of OUTPUT_DIR; if empty its last, else TRAIN's file
_C.TEST.CHECKPOINT_TYPE = "pytorch"  # pytorch or caffe2, without effect: the format is detected
_C.TEST.NUM_ENSEMBLE_VIEWS = 10  # Clips per video, spaced equally in time
_C.TEST.NUM_SPATIAL_CROPS = 3  # Crops per clip: 1 (center), 3 (along the longer side)
_C.TEST.NUM_TEMPORAL_CLIPS = []  # no effect
_C.TEST.SAVE_RESULTS_PATH = ""  # File under OUTPUT_DIR for the scores of all videos, with a .csv beside; none if empty
_C.TEST.RANDOM_WEIGHTS = False  # Test a model at its random initialization where there is no checkpoint
_C.TEST.SKIP_BAD_VIDEOS = True  # Validation too: leave out, count and list bad videos; False: they are an error

# Batch norm ---------------------------------------------------------------------------------------

_C.BN = CfgNode()
_C.BN.USE_PRECISE_STATS = False  # Compute the running statistics over new batches before each evaluation
_C.BN.NUM_BATCHES_PRECISE = 200  # Number of these batches
_C.BN.MOMENTUM = 0.1  # Weight of a batch in the running statistics
_C.BN.EPSILON = 1e-5  # Added to the variance
_C.BN.FREEZE = False  # no effect
_C.BN.WEIGHT_DECAY = 0.0  # Weight decay of the weights and biases of batch norms
_C.BN.NORM_TYPE = "batchnorm"  # batchnorm, sub_batchnorm, sync_batchnorm; with a multigrid cycle the schedule decides
_C.BN.NUM_SPLITS = 1  # sub_batchnorm: groups of a device's clips with separate statistics
_C.BN.NUM_SYNC_DEVICES = 1  # sync_batchnorm: devices of a machine that share statistics
_C.BN.GLOBAL_SYNC = False  # sync_batchnorm: share statistics over all devices of all machines

# Multigrid training -------------------------------------------------------------------------------

_C.MULTIGRID = CfgNode()
_C.MULTIGRID.LONG_CYCLE = False  # Go through the base shapes of LONG_CYCLE_FACTORS in every learning-rate stage
# Base shapes: (time, space) as fractions of NUM_FRAMES and TRAIN_CROP_SIZE, for 8, 4, 2 and 1 times the batch
_C.MULTIGRID.LONG_CYCLE_FACTORS = [[0.25, 0.5**0.5], [0.5, 0.5**0.5], [0.5, 1], [1, 1]]
_C.MULTIGRID.LONG_CYCLE_DESIGN = "multi"  # multi: one cycle per learning-rate stage; single: one over all epochs
_C.MULTIGRID.NUM_LONG_CYCLES = 3  # Cycles of the multi design with the cosine policy and no SOLVER.STEPS
_C.MULTIGRID.SHORT_CYCLE = False  # Change the crop by SHORT_CYCLE_FACTORS from one iteration to the next
_C.MULTIGRID.SHORT_CYCLE_FACTORS = [0.5, 0.5**0.5]  # Smaller crops as fractions of TRAIN_CROP_SIZE, smallest first
_C.MULTIGRID.EPOCH_FACTOR = 1.5  # Length of the training in units of SOLVER.MAX_EPOCH
_C.MULTIGRID.FINE_TUNE = True  # Train the last stage at the last shape, half at each of the last two rates
_C.MULTIGRID.ALIGN_TO_EPOCHS = False  # Round the borders of phases to whole epochs, as published
# Cost of a batch, which no shape exceeds: pixels, as in the paper, or flops, the model's counted multiply-adds
_C.MULTIGRID.COST = "pixels"
_C.MULTIGRID.LR_SCALING = "linear"  # Factor of the rate for k times the clips: linear (k), sqrt (its root, for Adam)
_C.MULTIGRID.BN_BASE_SIZE = 8  # Clips per batch-norm statistic at the base shape
_C.MULTIGRID.EVAL_FREQ = 3  # no effect
_C.MULTIGRID.LONG_CYCLE_SAMPLING_RATE = 0  # ignored: state of published code
_C.MULTIGRID.DEFAULT_B = 0  # ignored: state of published code
_C.MULTIGRID.DEFAULT_T = 0  # ignored: state of published code
_C.MULTIGRID.DEFAULT_S = 0  # ignored: state of published code

# Model --------------------------------------------------------------------------------------------

_C.MODEL = CfgNode()
_C.MODEL.MODEL_NAME = "SlowFast"  # Name in MODEL_REGISTRY: SlowFast, ResNet, ResNet_nopool, X3D, MViT
# Temporal kernels and pathways: 2d, c2d, i3d, slow, x3d, mvit (one pathway), slowfast (two)
_C.MODEL.ARCH = "slowfast"
_C.MODEL.NUM_CLASSES = 400  # Number of classes
_C.MODEL.LOSS_FUNC = "cross_entropy"  # cross_entropy, soft_cross_entropy, bce, bce_logit
_C.MODEL.HEAD_ACT = "softmax"  # Activation in evaluation: softmax, sigmoid, none
# Evaluation: average over the last map, as ResNets do with MULTIGRID.SHORT_CYCLE. False: over windows of
# TRAIN_CROP_SIZE / 32 rows and columns (X3D rounds up), the size of a training clip's map where the strides make 32.
_C.MODEL.GLOBAL_POOL = False
_C.MODEL.DROPOUT_RATE = 0.5  # Dropout before the last linear layer
_C.MODEL.FREEZE = []  # Modules and parameters not to train, by names or patterns: s1, s2, "*bn"; batch norms stop too
_C.MODEL.LABEL_SMOOTHING = 0.0  # Share of the target that is spread evenly over all classes; 0: none
_C.MODEL.FC_INIT_STD = 0.01  # Standard deviation of the initial weights of the last linear layer
_C.MODEL.SINGLE_PATHWAY_ARCH = ["2d", "c2d", "i3d", "slow", "x3d", "mvit", "maskmvit"]  # no effect
_C.MODEL.MULTI_PATHWAY_ARCH = ["slowfast"]  # Values of ARCH with a slow and a fast input; others have one input
_C.MODEL.DROPCONNECT_RATE = 0.0  # X3D: probability that a clip skips a residual branch of res5; less before it
_C.MODEL.DETACH_FINAL_FC = False  # Train the last linear layer only
_C.MODEL.FROZEN_BN = False  # no effect
_C.MODEL.ACT_CHECKPOINT = False  # MViT: compute activations again in the backward pass, which saves memory
_C.MODEL.FP16_ALLREDUCE = False  # no effect

_C.RESNET = CfgNode()
# Lists have an entry per stage, res2 to res5, and in it one number per pathway, slow first
_C.RESNET.DEPTH = 50  # Number of layers: 18, 50, 101
_C.RESNET.TRANS_FUNC = "bottleneck_transform"  # Residual branch: bottleneck_transform, basic_transform, x3d_transform
_C.RESNET.WIDTH_PER_GROUP = 64  # Channels of the stem, and of a group in res2's bottlenecks
_C.RESNET.NUM_GROUPS = 1  # Groups of the spatial convolution in a bottleneck
_C.RESNET.NUM_BLOCK_TEMP_KERNEL = [[3], [4], [6], [3]]  # First blocks of a stage, which have temporal kernels
_C.RESNET.SPATIAL_STRIDES = [[1], [2], [2], [2]]  # Spatial stride of a stage's first block
_C.RESNET.SPATIAL_DILATIONS = [[1], [1], [1], [1]]  # Spatial dilation in a stage's blocks
_C.RESNET.STRIDE_1X1 = False  # Stride in the first convolution of a bottleneck, not the second
_C.RESNET.INPLACE_RELU = True  # Apply ReLU in place, which saves memory
_C.RESNET.ZERO_INIT_FINAL_BN = False  # Start the last batch norm of residual branches at weight 0
_C.RESNET.ZERO_INIT_FINAL_CONV = False  # no effect

_C.X3D = CfgNode()
_C.X3D.WIDTH_FACTOR = 1.0  # Channels of the stem and of the stages over those of the smallest network; 0: as 1
_C.X3D.DEPTH_FACTOR = 1.0  # Blocks of a stage over those of the smallest network, rounded up; 0: as 1
_C.X3D.BOTTLENECK_FACTOR = 1.0  # Channels inside a residual branch over those of its stage
_C.X3D.DIM_C1 = 12  # Channels of the stem at WIDTH_FACTOR 1
_C.X3D.DIM_C5 = 2048  # Channels that the last linear layer classifies
_C.X3D.SCALE_RES2 = False  # Double the channels of res2, and with them those of all later stages
_C.X3D.BN_LIN5 = False  # Batch norm after the layer that makes the DIM_C5 channels
_C.X3D.CHANNELWISE_3x3x3 = True  # The middle convolution of a branch is channelwise; False: RESNET.NUM_GROUPS groups

_C.MVIT = CfgNode()
# Patches and tokens. Triples are (frames, height, width)
_C.MVIT.PATCH_2D = False  # Patches of images, of one frame; the three keys below have two numbers then
_C.MVIT.PATCH_KERNEL = [3, 7, 7]  # Kernel of the convolution that makes a token of a patch: frames and pixels
_C.MVIT.PATCH_STRIDE = [2, 4, 4]  # Steps from one patch to the next
_C.MVIT.PATCH_PADDING = [2, 4, 4]  # Zeros around the clip; [1, 3, 3] in the recipes
_C.MVIT.CLS_EMBED_ON = True  # A class token before those of the patches
_C.MVIT.USE_ABS_POS = True  # Add a learned position to every token
_C.MVIT.SEP_POS_EMBED = False  # Positions are sums of one in space and one in time; False: one for each patch
_C.MVIT.USE_FIXED_SINCOS_POS = False  # no effect
_C.MVIT.NORM_STEM = False  # Normalize the tokens before the first block
_C.MVIT.NORM = "layernorm"  # Normalization: layernorm
# Blocks, numbered from 0
_C.MVIT.DEPTH = 16  # Blocks
_C.MVIT.EMBED_DIM = 96  # Channels of the tokens of the first block
_C.MVIT.NUM_HEADS = 1  # Heads of its attention
_C.MVIT.DIM_MUL = []  # [[block, factor], ...]: multiply the channels
_C.MVIT.HEAD_MUL = []  # [[block, factor], ...]: multiply the heads
# The attention of the block in DIM_MUL changes the channels (v2); False: the MLP of the block before it (v1)
_C.MVIT.DIM_MUL_IN_ATT = False
_C.MVIT.MLP_RATIO = 4.0  # Channels inside an MLP over those of the attention before it
_C.MVIT.DROPPATH_RATE = 0.1  # Probability that a clip skips a branch of the last block; it grows from 0 in the first
_C.MVIT.DROPOUT_RATE = 0.0  # Dropout of tokens, in attention and in MLPs; MODEL.DROPOUT_RATE is that of the head
_C.MVIT.LAYER_SCALE_INIT_VALUE = 0.0  # no effect
# Attention
_C.MVIT.MODE = "conv"  # Pooling: conv (channelwise, the same for all heads), conv_unshared, max, avg
_C.MVIT.POOL_FIRST = False  # Pool the tokens before they become queries, keys and values
_C.MVIT.SEPARATE_QKV = False  # Three linear layers q, k and v; False: one, qkv
_C.MVIT.QKV_BIAS = True  # Biases of these layers
_C.MVIT.POOL_Q_STRIDE = []  # [[block, frames, height, width], ...]: strides of queries, and of the tokens that go on
_C.MVIT.POOL_KV_STRIDE = []  # [[block, frames, height, width], ...]: strides of keys and values
# Instead of it, the stride of keys and values in block 0; the strides of the queries divide it from there on
_C.MVIT.POOL_KV_STRIDE_ADAPTIVE = None
_C.MVIT.POOL_KVQ_KERNEL = None  # Kernel of all pools; None: stride + 1, or 1 where the stride is 1
_C.MVIT.RESIDUAL_POOLING = False  # Add the pooled queries to the result of the attention
_C.MVIT.REL_POS_SPATIAL = False  # Bias the attention by the relative position in height and width
_C.MVIT.REL_POS_TEMPORAL = False  # Bias the attention by the relative position in time
# Weights and head
_C.MVIT.REL_POS_ZERO_INIT = False  # Start the tables of relative positions at 0
_C.MVIT.HEAD_INIT_SCALE = 1.0  # Factor on the initial weights of the last linear layer
_C.MVIT.ZERO_DECAY_POS_CLS = True  # No weight decay of the tables of positions and of the class token
_C.MVIT.USE_MEAN_POOLING = False  # Classify the mean of the patches, not the class token
_C.MVIT.REV = CfgNode()  # Reversible models: no effect
_C.MVIT.REV.ENABLE = False
_C.MVIT.REV.RESPATH_FUSE = "concat"
_C.MVIT.REV.BUFFER_LAYERS = []
_C.MVIT.REV.RES_PATH = "conv"
_C.MVIT.REV.PRE_Q_FUSION = "avg"

_C.SLOWFAST = CfgNode()
_C.SLOWFAST.ALPHA = 8  # Fast frames per slow frame
_C.SLOWFAST.BETA_INV = 8  # Slow channels per fast channel
_C.SLOWFAST.FUSION_CONV_CHANNEL_RATIO = 2  # Output channels of a fusion per fast channel
_C.SLOWFAST.FUSION_KERNEL_SZ = 5  # Temporal kernel of a fusion, in fast frames

_C.NONLOCAL = CfgNode()
_C.NONLOCAL.LOCATION = [[[]], [[]], [[]], [[]]]  # Per stage and pathway: blocks, from 0, before a non-local block
_C.NONLOCAL.GROUP = [[1], [1], [1], [1]]  # Per stage and pathway: groups of frames that attend to themselves only
_C.NONLOCAL.INSTANTIATION = "dot_product"  # dot_product, softmax
# Per stage and pathway: max-pool of keys and values, (frames, height, width)
_C.NONLOCAL.POOL = [
    [[1, 2, 2], [1, 2, 2]],
    [[1, 2, 2], [1, 2, 2]],
    [[1, 2, 2], [1, 2, 2]],
    [[1, 2, 2], [1, 2, 2]],
]

# Data ---------------------------------------------------------------------------------------------

_C.DATA = CfgNode()
_C.DATA.PATH_TO_DATA_DIR = ""  # Folder with the lists of videos (train.csv, val.csv, test.csv)
_C.DATA.PATH_PREFIX = ""  # Folder before every path of a list
_C.DATA.PREPARED_DIR = ""  # Store of `slowfast prepare` that videos are read from; "": their own files
_C.DATA.PATH_LABEL_SEPARATOR = " "  # Separator of path and label in a line of a list
_C.DATA.SKIP_ROWS = 0  # Lines to skip at the start of a list
_C.DATA.CLASS_BALANCED = False  # Training: draw videos so that all classes are equally frequent
_C.DATA.MULTI_LABEL = False  # Videos have sets of labels
_C.DATA.MAX_BAD_FRACTION = 0.1  # Fraction of an epoch's videos that may fail to decode before training stops
_C.DATA.MAX_DECODE_SEC = 60.0  # Seconds that opening one video may take, and reading each clip of it; 0: no limit
_C.DATA.MAX_PIXELS = 8192 * 4320  # Most pixels of a frame or image, which could fill the memory; 0: no limit
_C.DATA.NUM_FRAMES = 8  # Frames of a clip, which are the fast frames of two pathways
_C.DATA.SAMPLING_RATE = 8  # Stride: frames at TARGET_FPS from one frame of a clip to the next
_C.DATA.TARGET_FPS = 30  # Frame rate of SAMPLING_RATE; 0 or less: that of the video
_C.DATA.USE_OFFSET_SAMPLING = False  # Testing: the last clip ends with the video
# Training: range of the short side before the crop, px. One-crop tests use the lowest.
_C.DATA.TRAIN_JITTER_SCALES = [256, 320]
_C.DATA.INV_UNIFORM_SAMPLE = False  # Draw the reciprocal of the short side uniformly
_C.DATA.TRAIN_CROP_SIZE = 224  # Side of the crop in training and validation, px
_C.DATA.TEST_CROP_SIZE = 256  # Side of the crops in testing, px
_C.DATA.RANDOM_FLIP = True  # Training: flip clips horizontally with probability 1/2
_C.DATA.MEAN = [0.45, 0.45, 0.45]  # Mean of each color channel, for values in [0, 1]
_C.DATA.STD = [0.225, 0.225, 0.225]  # Standard deviation of each color channel
_C.DATA.REVERSE_INPUT_CHANNEL = False  # Reverse the order of the color channels
_C.DATA.INPUT_CHANNEL_NUM = [3, 3]  # Color channels of each pathway's input
_C.DATA.ENSEMBLE_METHOD = "sum"  # Combination of the scores of a video's views: sum, max
_C.DATA.DECODING_BACKEND = "torchvision"  # Any value, without effect: PyAV decodes
_C.DATA.DECODING_SHORT_SIZE = 256  # no effect
_C.DATA.DUMMY_LOAD = False  # no effect
_C.DATA.PATH_TO_PRELOAD_IMDB = ""  # no effect
_C.DATA.LOADER_CHUNK_SIZE = 0  # no effect
_C.DATA.LOADER_CHUNK_OVERALL_SIZE = 0  # no effect
_C.DATA.TRAIN_CROP_NUM_TEMPORAL = 1  # no effect
_C.DATA.TRAIN_CROP_NUM_SPATIAL = 1  # Training: factor of AUG.NUM_SAMPLE
# Training: crops whose area is a share of the frame in [lowest, highest], resized to TRAIN_CROP_SIZE; [] for both: off
_C.DATA.TRAIN_JITTER_SCALES_RELATIVE = []
_C.DATA.TRAIN_JITTER_ASPECT_RELATIVE = []  # Range of their width / height
_C.DATA.TRAIN_JITTER_FPS = 0.0  # Training: up to this is added to TARGET_FPS, drawn for each clip; not for frame lists
_C.DATA.TRAIN_JITTER_MOTION_SHIFT = False  # Such a crop moves through the clip
_C.DATA.TIME_DIFF_PROB = 0.0  # no effect
_C.DATA.COLOR_RND_GRAYSCALE = 0.0  # no effect
_C.DATA.TRAIN_PCA_EIGVAL = [0.225, 0.224, 0.229]  # no effect
_C.DATA.TRAIN_PCA_EIGVEC = [  # no effect
    [-0.5675, 0.7192, 0.4009],
    [-0.5808, -0.0045, -0.814],
    [-0.5836, -0.6948, 0.4203],
]

_C.DATA_LOADER = CfgNode()
_C.DATA_LOADER.NUM_WORKERS = 8  # Processes per device that decode clips; 0: decode in the training process
_C.DATA_LOADER.TIMEOUT_SEC = 1800.0  # Seconds to wait for a batch of the workers before the run ends; 0: no limit
_C.DATA_LOADER.PIN_MEMORY = True  # Keep batches in page-locked memory for a faster copy to the GPU
_C.DATA_LOADER.ENABLE_MULTI_THREAD_DECODE = False  # no effect

# Mixing of the clips of a batch in training -------------------------------------------------------

_C.MIXUP = CfgNode()
_C.MIXUP.ENABLE = False  # Mix clips and smooth labels; needs MODEL.LOSS_FUNC soft_cross_entropy
_C.MIXUP.ALPHA = 0.8  # mixup: the share of a clip is drawn from Beta(ALPHA, ALPHA); 0: cutmix alone
_C.MIXUP.CUTMIX_ALPHA = 1.0  # cutmix: likewise, for a box that comes from the other clip; 0: mixup alone
_C.MIXUP.PROB = 1.0  # Probability that a batch is mixed; 0: smoothed labels alone
_C.MIXUP.SWITCH_PROB = 0.5  # Probability of cutmix, not mixup, in a mixed batch
_C.MIXUP.LABEL_SMOOTH_VALUE = 0.1  # Share of the target that is spread evenly over all classes
# Augmentation of training clips, see docs/AUGMENTATION.md. Keys of masked pre-training are accepted without effect.
_C.AUG = CfgNode(new_allowed=True)
_C.AUG.ENABLE = False  # Apply what the keys below say, apart from NUM_SAMPLE, which needs no switch
_C.AUG.NUM_SAMPLE = 1  # Clips of each video in a batch: the same frames, augmented independently
_C.AUG.AA_TYPE = "rand-m9-mstd0.5-inc1"  # RandAugment: magnitude, number of operations, spread; "": color jitter
_C.AUG.COLOR_JITTER = 0.4  # Without AA_TYPE: largest change of brightness, contrast and saturation; 0: none
_C.AUG.INTERPOLATION = "bicubic"  # Of rotated and shifted frames: bicubic, bilinear, random (one of these per frame)
_C.AUG.RE_PROB = 0.25  # Probability of random erasing
_C.AUG.RE_MODE = "pixel"  # Boxes are filled with: pixel (noise), rand (a random color per frame), const (mean color)
_C.AUG.RE_COUNT = 1  # Largest number of boxes of a clip
_C.AUG.RE_SPLIT = False  # no effect

# Optimizer and learning rate ----------------------------------------------------------------------

_C.SOLVER = CfgNode()
_C.SOLVER.OPTIMIZING_METHOD = "sgd"  # sgd, adam, adamw
_C.SOLVER.MAX_EPOCH = 300  # Length of the training in epochs, whole or fractional
_C.SOLVER.BASE_LR = 0.1  # Learning rate for the batch of all machines
_C.SOLVER.BASE_LR_SCALE_NUM_SHARDS = False  # Multiply the learning rates by NUM_SHARDS
_C.SOLVER.LR_POLICY = "cosine"  # cosine, steps_with_relative_lrs
_C.SOLVER.STEPS = []  # Epochs at which the stages of the step policy begin, 0 first, whole or fractional
_C.SOLVER.LRS = []  # Learning rates of the stages in units of BASE_LR; powers of GAMMA if empty
_C.SOLVER.GAMMA = 0.1  # Factor from one stage's learning rate to the next if LRS is empty
_C.SOLVER.COSINE_END_LR = 0.0  # Learning rate at the end of the cosine
_C.SOLVER.COSINE_AFTER_WARMUP = False  # Begin the cosine at the end of the warm-up, not at epoch 0
_C.SOLVER.WARMUP_EPOCHS = 0.0  # Length of the linear warm-up in epochs
_C.SOLVER.WARMUP_START_LR = 0.01  # Learning rate at the start of the warm-up
_C.SOLVER.WARMUP_FACTOR = 0.1  # no effect
_C.SOLVER.STEP_SIZE = 1  # no effect
_C.SOLVER.WEIGHT_DECAY = 1e-4  # Weight decay of all parameters but those of batch norms
_C.SOLVER.ZERO_WD_1D_PARAM = False  # No weight decay of biases and other parameters of one dimension
_C.SOLVER.MOMENTUM = 0.9  # sgd: momentum
_C.SOLVER.DAMPENING = 0.0  # sgd: dampening of the momentum
_C.SOLVER.NESTEROV = True  # sgd: Nesterov momentum
_C.SOLVER.BETAS = [0.9, 0.999]  # adam, adamw: decay of the averages of the gradient and its square
_C.SOLVER.CLIP_GRAD_VAL = None  # Clip every element of the gradient to this size; None: off
_C.SOLVER.CLIP_GRAD_L2NORM = None  # Clip the norm of the gradient to this, after CLIP_GRAD_VAL; None: off
_C.SOLVER.ACCUMULATE = 1  # Parts in which a batch is trained, one after the other; their gradients are averaged
_C.SOLVER.EMA_DECAY = 0.0  # Average the weights with this decay per iteration, and evaluate the average; 0: off
_C.SOLVER.LAYER_DECAY = 1.0  # MViT: factor of the learning rate from each block to the one before it; 1: off
_C.SOLVER.LARS_ON = False  # no effect

# TensorBoard ------------------------------------------------------------------------------------------

_C.TENSORBOARD = CfgNode()
_C.TENSORBOARD.ENABLE = False  # Show curves, the config and clips of every shape in TensorBoard
_C.TENSORBOARD.LOG_DIR = ""  # Folder under OUTPUT_DIR for the curves; runs if empty
_C.TENSORBOARD.CLASS_NAMES_PATH = ""  # File of class names; default: the one beside the lists, such as classes.txt
_C.TENSORBOARD.CATEGORIES_PATH = ""  # no effect
_C.TENSORBOARD.PREDICTIONS_PATH = ""  # no effect
_C.TENSORBOARD.CONFUSION_MATRIX = CfgNode()
_C.TENSORBOARD.CONFUSION_MATRIX.ENABLE = False  # Show the confusion matrix of every evaluation and of the test
_C.TENSORBOARD.CONFUSION_MATRIX.FIGSIZE = [8, 8]  # Its width and height, inches
_C.TENSORBOARD.CONFUSION_MATRIX.SUBSET_PATH = ""  # File with the names of the classes to show; all if empty
_C.TENSORBOARD.HISTOGRAM = CfgNode()
_C.TENSORBOARD.HISTOGRAM.ENABLE = False  # Show the most frequent predictions for the videos of each class
_C.TENSORBOARD.HISTOGRAM.FIGSIZE = [8, 8]  # Width and height of the figure, inches
_C.TENSORBOARD.HISTOGRAM.SUBSET_PATH = ""  # File with the names of the classes to show; all if empty
_C.TENSORBOARD.HISTOGRAM.TOPK = 10  # Number of these predictions
_C.TENSORBOARD.MODEL_VIS = CfgNode()
_C.TENSORBOARD.MODEL_VIS.ENABLE = False  # Show the model, as the keys below ask for
_C.TENSORBOARD.MODEL_VIS.ACTIVATIONS = False  # no effect
_C.TENSORBOARD.MODEL_VIS.COLORMAP = "Pastel2"  # no effect
_C.TENSORBOARD.MODEL_VIS.INPUT_VIDEO = False  # no effect
_C.TENSORBOARD.MODEL_VIS.LAYER_LIST = []  # Names of the layers whose weights are shown; all if empty
_C.TENSORBOARD.MODEL_VIS.MODEL_WEIGHTS = False  # Histograms of weights and gradients after every epoch
_C.TENSORBOARD.MODEL_VIS.TOPK_PREDS = 1  # no effect
_C.TENSORBOARD.MODEL_VIS.GRAD_CAM = CfgNode()
_C.TENSORBOARD.MODEL_VIS.GRAD_CAM.ENABLE = True  # no effect
_C.TENSORBOARD.MODEL_VIS.GRAD_CAM.COLORMAP = "viridis"  # no effect
_C.TENSORBOARD.MODEL_VIS.GRAD_CAM.LAYER_LIST = []  # no effect
_C.TENSORBOARD.MODEL_VIS.GRAD_CAM.USE_TRUE_LABEL = False  # no effect
_C.TENSORBOARD.WRONG_PRED_VIS = CfgNode()
_C.TENSORBOARD.WRONG_PRED_VIS.ENABLE = False  # no effect
_C.TENSORBOARD.WRONG_PRED_VIS.SUBSET_PATH = ""  # no effect
_C.TENSORBOARD.WRONG_PRED_VIS.TAG = "Incorrectly classified videos."  # no effect

_C.BENCHMARK = CfgNode()
_C.BENCHMARK.NUM_EPOCHS = 5  # no effect
_C.BENCHMARK.LOG_PERIOD = 100  # no effect
_C.BENCHMARK.SHUFFLE = True  # no effect


# Features of published code that are not part of this project ---------------------------------------
# Their sections take any keys and values, and `checks.py` refuses a switch that is on.


_C.DETECTION = CfgNode(new_allowed=True)
_C.DETECTION.ENABLE = False
_C.DETECTION.ALIGNED = True
_C.DETECTION.SPATIAL_SCALE_FACTOR = 16
_C.DETECTION.ROI_XFORM_RESOLUTION = 7

_C.DEMO = CfgNode(new_allowed=True)
_C.DEMO.ENABLE = False

_C.MASK = CfgNode(new_allowed=True)
_C.MASK.ENABLE = False

_C.VIS_MASK = CfgNode(new_allowed=True)
_C.VIS_MASK.ENABLE = False

_C.AVA = CfgNode(new_allowed=True)
_C.CONTRASTIVE = CfgNode(new_allowed=True)
_C.PREFETCH = CfgNode(new_allowed=True)  # in some published configs, and in no code

_C.DATA.SSL_COLOR_JITTER = False
_C.DATA.SSL_COLOR_BRI_CON_SAT = [0.4, 0.4, 0.4]
_C.DATA.SSL_COLOR_HUE = 0.1
_C.DATA.SSL_MOCOV2_AUG = False
_C.DATA.SSL_BLUR_SIGMA_MIN = [0.0, 0.1]
_C.DATA.SSL_BLUR_SIGMA_MAX = [0.0, 2.0]
_C.DATA.IN22K_TRAINVAL = False
_C.DATA.IN22k_VAL_IN1K = ""
_C.DATA.IN_VAL_CROP_RATIO = 0.875


def get_cfg() -> CfgNode:
    """Return a copy of the defaults that can be changed. `load_config` returns a checked, frozen config."""
    return _C.clone()


def assert_and_infer_cfg(cfg: CfgNode) -> CfgNode:
    """Check a config as `load_config` does, and return it. It can be changed afterwards, as in published code."""
    from slowfast.config.checks import check_cfg  # it reads the defaults

    check_cfg(cfg)
    cfg.defrost()
    return cfg
