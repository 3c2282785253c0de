"""Every configuration key with its default, its meaning and its unit.

Names and defaults are those that published recipes were written against, so that their files work as they are.
Keys marked "no effect" keep their place in the tree: at their default they are accepted, and `checks.py` refuses
any other value instead of ignoring it in silence. Units: sizes of pictures in pixels, positions in training in
epochs, batch sizes in clips over the devices of one machine.
"""

from slowfast.config.node import CfgNode

_C = CfgNode()

# The machine(s) and the run -----------------------------------------------------------------------

_C.NUM_GPUS = 1  # Processes (one device each) on this machine; 0: one process on the CPU
_C.NUM_SHARDS = 1  # Machines that train together
_C.SHARD_ID = 0  # Number of this machine, from 0
_C.DIST_BACKEND = "nccl"  # Communication between devices: nccl, gloo (CPU processes always take gloo)
_C.OUTPUT_DIR = "."  # Folder for checkpoints, logs and reports; made when missing
_C.RNG_SEED = 1  # Seed of every random choice: initial weights, order of videos, sampling of clips, dropout
_C.LOG_PERIOD = 10  # Iterations between two log lines
_C.LOG_MODEL_INFO = True  # Log parameters, GFLOPs and activations of the model before training
_C.TASK = ""  # no effect (names a self-supervised task elsewhere)

# Training -----------------------------------------------------------------------------------------

_C.TRAIN = CfgNode()
_C.TRAIN.ENABLE = True  # Train
_C.TRAIN.DATASET = "kinetics"  # Data set, a name in DATASET_REGISTRY in any case: kinetics, ssv2, charades, ...
_C.TRAIN.BATCH_SIZE = 64  # Clips per iteration over the devices of one machine (all machines: NUM_SHARDS times that)
_C.TRAIN.EVAL_PERIOD = 10  # Epochs between two validations
_C.TRAIN.CHECKPOINT_PERIOD = 10  # Epochs between two checkpoints
_C.TRAIN.AUTO_RESUME = True  # Continue from the last checkpoint in OUTPUT_DIR when there is one
_C.TRAIN.CHECKPOINT_FILE_PATH = ""  # Weights to start from; none when empty
_C.TRAIN.CHECKPOINT_TYPE = "pytorch"  # Accepted as published (pytorch, caffe2); the file itself tells its format
_C.TRAIN.CHECKPOINT_INFLATE = False  # That file is of a 2-D network: repeat its kernels over time
_C.TRAIN.CHECKPOINT_EPOCH_RESET = False  # Take only the weights of that file and start at epoch 0
_C.TRAIN.CHECKPOINT_CLEAR_NAME_PATTERN = []  # Texts to take out of the parameter names of that file
_C.TRAIN.CHECKPOINT_IN_INIT = False  # no effect (self-supervised training elsewhere)
_C.TRAIN.MIXED_PRECISION = False  # On GPUs: bfloat16 where the device has it, else float16 with a loss scaler
_C.TRAIN.KILL_LOSS_EXPLOSION_FACTOR = 0.0  # no effect (a loss that is not finite always stops the training)

# Testing ------------------------------------------------------------------------------------------

_C.TEST = CfgNode()
_C.TEST.ENABLE = True  # Test on all views after training, or alone
_C.TEST.DATASET = "kinetics"  # Data set, as TRAIN.DATASET
_C.TEST.BATCH_SIZE = 8  # Clips per iteration over the devices of one machine; whole videos, at least one per device
_C.TEST.CHECKPOINT_FILE_PATH = ""  # Weights to test; when empty the last checkpoint in OUTPUT_DIR, then TRAIN's file
_C.TEST.CHECKPOINT_TYPE = "pytorch"  # Accepted as published (pytorch, caffe2); the file itself tells its format
_C.TEST.NUM_ENSEMBLE_VIEWS = 10  # Clips per video, equally spaced in time
_C.TEST.NUM_SPATIAL_CROPS = 3  # Crops per clip: 1 (centre), 3 (along the longer side)
_C.TEST.NUM_TEMPORAL_CLIPS = []  # no effect (several numbers of clips in one test elsewhere)
_C.TEST.SAVE_RESULTS_PATH = ""  # File under OUTPUT_DIR for scores and labels of all videos; none when empty
_C.TEST.SKIP_BAD_VIDEOS = False  # Leave out videos that cannot be decoded and say how many; else stop at the first

# Batch norm ---------------------------------------------------------------------------------------

_C.BN = CfgNode()
_C.BN.USE_PRECISE_STATS = False  # Before an evaluation, compute the running statistics over fresh batches
_C.BN.NUM_BATCHES_PRECISE = 200  # Number of those batches
_C.BN.WEIGHT_DECAY = 0.0  # Weight decay of the batch norms' weights and biases
_C.BN.NORM_TYPE = "batchnorm"  # batchnorm, sub_batchnorm, sync_batchnorm; under a multigrid cycle the schedule decides
_C.BN.NUM_SPLITS = 1  # sub_batchnorm: groups of clips with statistics of their own in a device's batch
_C.BN.NUM_SYNC_DEVICES = 1  # sync_batchnorm: devices of a machine that share statistics
_C.BN.GLOBAL_SYNC = False  # sync_batchnorm: share them over all devices of all machines instead

# Multigrid training -------------------------------------------------------------------------------

_C.MULTIGRID = CfgNode()
_C.MULTIGRID.LONG_CYCLE = False  # Move the base shape through LONG_CYCLE_FACTORS in every learning-rate stage
# The base shapes: (time, space) as fractions of NUM_FRAMES and TRAIN_CROP_SIZE; 8, 4, 2 and 1 times the batch
_C.MULTIGRID.LONG_CYCLE_FACTORS = [[0.25, 0.5**0.5], [0.5, 0.5**0.5], [0.5, 1], [1, 1]]
_C.MULTIGRID.LONG_CYCLE_DESIGN = "multi"  # multi: one cycle per learning-rate stage; single: one over all epochs
_C.MULTIGRID.NUM_LONG_CYCLES = 3  # Cycles of the multi design under a cosine policy without SOLVER.STEPS
_C.MULTIGRID.SHORT_CYCLE = False  # Move the crop through SHORT_CYCLE_FACTORS from one iteration to the next
_C.MULTIGRID.SHORT_CYCLE_FACTORS = [0.5, 0.5**0.5]  # The smaller crops as fractions of TRAIN_CROP_SIZE, small first
_C.MULTIGRID.EPOCH_FACTOR = 1.5  # Length of the training in units of SOLVER.MAX_EPOCH; cheaper shapes see more clips
_C.MULTIGRID.FINE_TUNE = True  # Spend the last stage at the last shape, half at each of the two last rates
_C.MULTIGRID.ALIGN_TO_EPOCHS = False  # Round the phases' borders to whole epochs, as the published training did
_C.MULTIGRID.BN_BASE_SIZE = 8  # Clips per batch-norm statistic at the base shape
_C.MULTIGRID.EVAL_FREQ = 3  # no effect (TRAIN.EVAL_PERIOD decides)
_C.MULTIGRID.LONG_CYCLE_SAMPLING_RATE = 0  # ignored: state of the published code
_C.MULTIGRID.DEFAULT_B = 0  # ignored: state of the published code
_C.MULTIGRID.DEFAULT_T = 0  # ignored: state of the published code
_C.MULTIGRID.DEFAULT_S = 0  # ignored: state of the published code

# Model --------------------------------------------------------------------------------------------

_C.MODEL = CfgNode()
_C.MODEL.MODEL_NAME = "SlowFast"  # Class in MODEL_REGISTRY: SlowFast, ResNet, ResNet_nopool (no pooling over time)
_C.MODEL.ARCH = "slowfast"  # Temporal kernels and pathways: 2d, c2d, i3d, slow (one pathway), slowfast (two)
_C.MODEL.NUM_CLASSES = 400  # Classes
_C.MODEL.LOSS_FUNC = "cross_entropy"  # cross_entropy, soft_cross_entropy, bce, bce_logit
_C.MODEL.HEAD_ACT = "softmax"  # Activation of the scores in evaluation: softmax, sigmoid, none
# New: evaluate by the mean over the whole last map, as models with MULTIGRID.SHORT_CYCLE are. False: by windows of
# TRAIN_CROP_SIZE // 32 rows, which are the map of a training clip where the strides make 32.
_C.MODEL.GLOBAL_POOL = False
_C.MODEL.DROPOUT_RATE = 0.5  # Share of features dropped before the last linear layer
_C.MODEL.FC_INIT_STD = 0.01  # Standard deviation of the last linear layer's first weights
_C.MODEL.SINGLE_PATHWAY_ARCH = ["2d", "c2d", "i3d", "slow", "x3d", "mvit", "maskmvit"]  # no effect
_C.MODEL.MULTI_PATHWAY_ARCH = ["slowfast"]  # Values of ARCH that take a slow and a fast input; the others take one
_C.MODEL.DROPCONNECT_RATE = 0.0  # no effect
_C.MODEL.DETACH_FINAL_FC = False  # no effect
_C.MODEL.FROZEN_BN = False  # no effect
_C.MODEL.ACT_CHECKPOINT = False  # no effect
_C.MODEL.FP16_ALLREDUCE = False  # no effect

_C.RESNET = CfgNode()
# Lists below: one entry per stage res2..res5, in it one number per pathway (slow first)
_C.RESNET.DEPTH = 50  # Layers: 18, 50, 101
_C.RESNET.TRANS_FUNC = "bottleneck_transform"  # Residual branch: bottleneck_transform, basic_transform
_C.RESNET.WIDTH_PER_GROUP = 64  # Channels of the stem, and of one group of the first bottleneck
_C.RESNET.NUM_GROUPS = 1  # Groups of the spatial convolution in a bottleneck
_C.RESNET.NUM_BLOCK_TEMP_KERNEL = [[3], [4], [6], [3]]  # Blocks of a stage, from its first, that have a temporal kernel
_C.RESNET.SPATIAL_STRIDES = [[1], [2], [2], [2]]  # Spatial stride of a stage's first block
_C.RESNET.SPATIAL_DILATIONS = [[1], [1], [1], [1]]  # Spatial dilation in a stage's blocks
_C.RESNET.STRIDE_1X1 = False  # Put the spatial stride in the first convolution of a bottleneck, not in the second
_C.RESNET.INPLACE_RELU = True  # Save memory by rectifying in place
_C.RESNET.ZERO_INIT_FINAL_BN = False  # Start the last batch norm of every residual branch at weight 0
_C.RESNET.ZERO_INIT_FINAL_CONV = False  # no effect

_C.SLOWFAST = CfgNode()
_C.SLOWFAST.ALPHA = 8  # Frames of the fast pathway for one of the slow
_C.SLOWFAST.BETA_INV = 8  # Channels of the slow pathway for one of the fast
_C.SLOWFAST.FUSION_CONV_CHANNEL_RATIO = 2  # Channels that a fusion hands over, in units of the fast pathway's
_C.SLOWFAST.FUSION_KERNEL_SZ = 5  # Temporal kernel of a fusion, in frames of the fast pathway

_C.NONLOCAL = CfgNode()
_C.NONLOCAL.LOCATION = [
    [[]],
    [[]],
    [[]],
    [[]],
]  # Per stage and pathway: blocks, from 0, after which a non-local block stands
_C.NONLOCAL.GROUP = [[1], [1], [1], [1]]  # Per stage and pathway: parts in time that attend to themselves only
_C.NONLOCAL.INSTANTIATION = "dot_product"  # Affinity: dot_product, softmax
# Per stage and pathway: max-pool (frames, height, width) of the keys and values
_C.NONLOCAL.POOL = [
    [[1, 2, 2], [1, 2, 2]],
    [[1, 2, 2], [1, 2, 2]],
    [[1, 2, 2], [1, 2, 2]],
    [[1, 2, 2], [1, 2, 2]],
]

_C.X3D = CfgNode()  # no effect, all of it: X3D is not part of this project
_C.X3D.WIDTH_FACTOR = 1.0  # no effect
_C.X3D.DEPTH_FACTOR = 1.0  # no effect
_C.X3D.BOTTLENECK_FACTOR = 1.0  # no effect
_C.X3D.DIM_C1 = 12  # no effect
_C.X3D.DIM_C5 = 2048  # no effect
_C.X3D.SCALE_RES2 = False  # no effect
_C.X3D.BN_LIN5 = False  # no effect
_C.X3D.CHANNELWISE_3x3x3 = True  # no effect

_C.DETECTION = CfgNode()  # no effect, all of it: detection is not part of this project
_C.DETECTION.ENABLE = False  # no effect
_C.DETECTION.ALIGNED = True  # no effect
_C.DETECTION.SPATIAL_SCALE_FACTOR = 16  # no effect
_C.DETECTION.ROI_XFORM_RESOLUTION = 7  # no effect

# Data ---------------------------------------------------------------------------------------------

_C.DATA = CfgNode()
_C.DATA.PATH_TO_DATA_DIR = ""  # Folder with the lists of videos (train.csv, val.csv, test.csv)
_C.DATA.PATH_PREFIX = ""  # Folder put before every path of a list
_C.DATA.PATH_LABEL_SEPARATOR = " "  # What stands between path and label in a line of a list
_C.DATA.SKIP_ROWS = 0  # Lines to leave out at the start of a list
_C.DATA.MULTI_LABEL = False  # A video has a set of labels instead of one
_C.DATA.MAX_BAD_FRACTION = 0.1  # Share of an epoch's videos that may fail to decode before the training stops
_C.DATA.NUM_FRAMES = 8  # Frames of a clip (of the fast pathway where there are two)
_C.DATA.SAMPLING_RATE = 8  # Stride: frames of the source, brought to TARGET_FPS, from one frame of a clip to the next
_C.DATA.TARGET_FPS = 30  # Frames per second at which SAMPLING_RATE counts; 0 or less: frames of the source as they are
_C.DATA.USE_OFFSET_SAMPLING = False  # Testing: the last clip ends where the video ends
_C.DATA.TRAIN_JITTER_SCALES = [
    256,
    320,
]  # Training: range of the short side before the crop, px; [0] also in one-crop tests
_C.DATA.INV_UNIFORM_SAMPLE = False  # Draw the reciprocal of the short side uniformly, not the short side
_C.DATA.TRAIN_CROP_SIZE = 224  # Side of the square crop in training and validation, px
_C.DATA.TEST_CROP_SIZE = 256  # Side of the square crop(s) in testing, px
_C.DATA.RANDOM_FLIP = True  # Training: mirror every second clip, drawn at random
_C.DATA.MEAN = [0.45, 0.45, 0.45]  # Subtracted from each colour channel, in [0, 1]
_C.DATA.STD = [0.225, 0.225, 0.225]  # Divides each colour channel after that
_C.DATA.REVERSE_INPUT_CHANNEL = False  # Reverse the order of the colour channels
_C.DATA.INPUT_CHANNEL_NUM = [3, 3]  # Colour channels of each pathway's input
_C.DATA.ENSEMBLE_METHOD = "sum"  # How the scores of a video's views become one: sum, max
_C.DATA.DECODING_BACKEND = "torchvision"  # Accepted as published (torchvision, pyav, ...); PyAV decodes in any case
_C.DATA.DECODING_SHORT_SIZE = 256  # no effect (frames are decoded at the size that is wanted)
_C.DATA.DUMMY_LOAD = False  # no effect
_C.DATA.PATH_TO_PRELOAD_IMDB = ""  # no effect
_C.DATA.LOADER_CHUNK_SIZE = 0  # no effect
_C.DATA.LOADER_CHUNK_OVERALL_SIZE = 0  # no effect
_C.DATA.TRAIN_CROP_NUM_TEMPORAL = 1  # no effect
_C.DATA.TRAIN_CROP_NUM_SPATIAL = 1  # no effect
_C.DATA.TRAIN_JITTER_SCALES_RELATIVE = []  # no effect
_C.DATA.TRAIN_JITTER_ASPECT_RELATIVE = []  # no effect
_C.DATA.TRAIN_JITTER_FPS = 0.0  # no effect
_C.DATA.TRAIN_JITTER_MOTION_SHIFT = False  # no effect
_C.DATA.TIME_DIFF_PROB = 0.0  # no effect
_C.DATA.COLOR_RND_GRAYSCALE = 0.0  # no effect
_C.DATA.TRAIN_PCA_EIGVAL = [0.225, 0.224, 0.229]  # no effect
_C.DATA.TRAIN_PCA_EIGVEC = [  # no effect
    [-0.5675, 0.7192, 0.4009],
    [-0.5808, -0.0045, -0.814],
    [-0.5836, -0.6948, 0.4203],
]

_C.DATA_LOADER = CfgNode()
_C.DATA_LOADER.NUM_WORKERS = 8  # Processes per device that decode clips; 0: the training process does
_C.DATA_LOADER.PIN_MEMORY = True  # Keep batches in page-locked memory for a faster copy to the GPU
_C.DATA_LOADER.ENABLE_MULTI_THREAD_DECODE = False  # no effect (workers decode in parallel)

_C.AUG = CfgNode()  # no effect, all of it: strong augmentation is not part of this project
_C.AUG.ENABLE = False  # no effect
_C.AUG.NUM_SAMPLE = 1  # no effect
_C.AUG.AA_TYPE = "rand-m9-mstd0.5-inc1"  # no effect
_C.AUG.COLOR_JITTER = 0.4  # no effect
_C.AUG.INTERPOLATION = "bicubic"  # no effect
_C.AUG.RE_PROB = 0.25  # no effect
_C.AUG.RE_MODE = "pixel"  # no effect
_C.AUG.RE_COUNT = 1  # no effect
_C.AUG.RE_SPLIT = False  # no effect

_C.MIXUP = CfgNode()  # no effect, all of it: mixing of clips is not part of this project
_C.MIXUP.ENABLE = False  # no effect
_C.MIXUP.ALPHA = 0.8  # no effect
_C.MIXUP.CUTMIX_ALPHA = 1.0  # no effect
_C.MIXUP.PROB = 1.0  # no effect
_C.MIXUP.SWITCH_PROB = 0.5  # no effect
_C.MIXUP.LABEL_SMOOTH_VALUE = 0.1  # no effect

# Optimiser and learning rate ----------------------------------------------------------------------

_C.SOLVER = CfgNode()
_C.SOLVER.OPTIMIZING_METHOD = "sgd"  # sgd, adam, adamw
_C.SOLVER.MAX_EPOCH = 300  # Length of the training in epochs; may be fractional
_C.SOLVER.BASE_LR = 0.1  # Learning rate for the batch of all machines together
_C.SOLVER.BASE_LR_SCALE_NUM_SHARDS = False  # BASE_LR is meant for one machine: multiply it by NUM_SHARDS
_C.SOLVER.LR_POLICY = "cosine"  # cosine, steps_with_relative_lrs
_C.SOLVER.STEPS = []  # Epochs at which the stages of the step policy begin, the first one 0; may be fractional
_C.SOLVER.LRS = []  # Rates of those stages in units of BASE_LR; powers of GAMMA when empty
_C.SOLVER.GAMMA = 0.1  # Factor from one stage's rate to the next where LRS is empty
_C.SOLVER.COSINE_END_LR = 0.0  # Rate at the end of the cosine
_C.SOLVER.COSINE_AFTER_WARMUP = False  # The cosine begins at the end of the warm-up, not at epoch 0
_C.SOLVER.WARMUP_EPOCHS = 0.0  # Epochs of linear warm-up
_C.SOLVER.WARMUP_START_LR = 0.01  # Rate at the start of the warm-up
_C.SOLVER.WARMUP_FACTOR = 0.1  # no effect (WARMUP_START_LR decides)
_C.SOLVER.STEP_SIZE = 1  # no effect (STEPS decides)
_C.SOLVER.WEIGHT_DECAY = 1e-4  # Weight decay of everything but the batch norms
_C.SOLVER.ZERO_WD_1D_PARAM = False  # No weight decay on parameters of one dimension, such as biases
_C.SOLVER.MOMENTUM = 0.9  # sgd: momentum
_C.SOLVER.DAMPENING = 0.0  # sgd: dampening of the momentum
_C.SOLVER.NESTEROV = True  # sgd: Nesterov momentum
_C.SOLVER.BETAS = [0.9, 0.999]  # adam, adamw: decay of the running averages of gradient and squared gradient
_C.SOLVER.CLIP_GRAD_VAL = None  # Clip every gradient element to this size; None: off
_C.SOLVER.CLIP_GRAD_L2NORM = None  # Clip the norm of the whole gradient to this; None: off
_C.SOLVER.LAYER_DECAY = 1.0  # no effect
_C.SOLVER.LARS_ON = False  # no effect

# Records ------------------------------------------------------------------------------------------

_C.TENSORBOARD = CfgNode()
_C.TENSORBOARD.ENABLE = False  # Write curves for TensorBoard
_C.TENSORBOARD.LOG_DIR = ""  # Folder under OUTPUT_DIR for them; runs-<data set> when empty
_C.TENSORBOARD.CLASS_NAMES_PATH = ""  # File of class names, for lists that name classes; also read without TensorBoard
_C.TENSORBOARD.CATEGORIES_PATH = ""  # no effect
_C.TENSORBOARD.PREDICTIONS_PATH = ""  # no effect
_C.TENSORBOARD.CONFUSION_MATRIX = CfgNode()
_C.TENSORBOARD.CONFUSION_MATRIX.ENABLE = False  # no effect
_C.TENSORBOARD.CONFUSION_MATRIX.FIGSIZE = [8, 8]  # no effect
_C.TENSORBOARD.CONFUSION_MATRIX.SUBSET_PATH = ""  # no effect
_C.TENSORBOARD.HISTOGRAM = CfgNode()
_C.TENSORBOARD.HISTOGRAM.ENABLE = False  # no effect
_C.TENSORBOARD.HISTOGRAM.FIGSIZE = [8, 8]  # no effect
_C.TENSORBOARD.HISTOGRAM.SUBSET_PATH = ""  # no effect
_C.TENSORBOARD.HISTOGRAM.TOPK = 10  # no effect
_C.TENSORBOARD.MODEL_VIS = CfgNode()
_C.TENSORBOARD.MODEL_VIS.ENABLE = False  # no effect
_C.TENSORBOARD.MODEL_VIS.ACTIVATIONS = False  # no effect
_C.TENSORBOARD.MODEL_VIS.COLORMAP = "Pastel2"  # no effect
_C.TENSORBOARD.MODEL_VIS.INPUT_VIDEO = False  # no effect
_C.TENSORBOARD.MODEL_VIS.LAYER_LIST = []  # no effect
_C.TENSORBOARD.MODEL_VIS.MODEL_WEIGHTS = False  # no effect
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
_C.BENCHMARK.NUM_EPOCHS = 5  # Passes over the data that tools/benchmark.py times
_C.BENCHMARK.LOG_PERIOD = 100  # Iterations between two of its lines
_C.BENCHMARK.SHUFFLE = True  # Take the videos in random order, as in training


def get_cfg() -> CfgNode:
    """A copy of the defaults that may be written to; `load_config` gives a checked and frozen one."""
    return _C.clone()
