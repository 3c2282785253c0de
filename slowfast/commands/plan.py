"""Print the schedule of a config: every phase's shapes, learning rate, batch norm and iterations."""

import argparse
import json

from slowfast.datasets.build import build_dataset
from slowfast.engine.schedule import build_baseline, build_schedule
from slowfast.errors import errors_name
from slowfast.multigrid.build import has_cycle
from slowfast.optim.lr_policy import learning_rate, policy_rate
from slowfast.utils.parser import argument_parser, change_devices, fail_cleanly, load_config, parse_args
from slowfast.utils.world import World, clips_per_video
from slowfast.visualization.plan import describe_plan, plan_table
from slowfast.visualization.plan_figure import plot_plan


@fail_cleanly()
def main(argv: list[str] | None = None) -> None:
    parser = make_parser()
    args = parse_args(argv, parser)
    if len(args.cfg_files) > 1 and (args.json or args.plot):
        parser.error("--json and --plot write the plan of one config: give one --cfg file")
    change_devices(args)
    for path in args.cfg_files:
        cfg = load_config(args, path)
        with errors_name(path if len(args.cfg_files) > 1 else None):
            show(cfg, path, args)


def make_parser() -> argparse.ArgumentParser:
    parser = argument_parser(__doc__)
    parser.add_argument("--num-videos", type=int, help="training videos; default: the videos of the train list")
    parser.add_argument("--num-devices", type=int, help="devices of a machine; default: NUM_GPUS")
    parser.add_argument("--json", metavar="FILE", help="write the plan as JSON")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the batch shape and the learning rate")
    return parser


def show(cfg, path: str, args: argparse.Namespace) -> None:
    """Print the plan of the config at `path`, and write it to the files of --json and --plot."""
    num_videos = args.num_videos or len(build_dataset(cfg.TRAIN.DATASET, cfg, "train"))
    world = World.from_cfg(cfg)
    schedule, baseline = build_schedule(cfg), build_baseline(cfg)
    plan = describe_plan(schedule, baseline, policy_rate(cfg, schedule), num_videos, world.size)
    clips = baseline.phases[0].shapes[0].batch_size
    print(f"{path}: {num_videos:,} videos, {world.size} device(s) x {clips} clips\n")
    print(plan_table(plan, world.size))
    print("".join(f"{line}\n" for line in choices(cfg)), end="")
    if (repeats := clips_per_video(cfg)) > 1:
        print(f"\nEach video of a batch gives {repeats} clips (AUG.NUM_SAMPLE x DATA.TRAIN_CROP_NUM_SPATIAL).")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(plan, file, indent=1)
    if args.plot:
        plot_plan(plan, learning_rate(cfg, schedule), args.plot, learning_rate(cfg, baseline))


def choices(cfg) -> list[str]:
    """Return lines on the cost of a batch and the rate of a long cycle where they are not those of the paper."""
    if not has_cycle(cfg):
        return []
    node, lines = cfg.MULTIGRID, []
    if node.COST != "pixels":
        lines.append(f"cost            {node.COST}: no batch has over 1 % more multiply-adds than one of the recipe")
    if node.LR_SCALING != "linear":
        lines.append(
            f"rate            {node.LR_SCALING}: k times the clips at a base shape have sqrt(k) times the rate"
        )
    return lines
