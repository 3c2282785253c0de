"""Export a trained model as a program that runs without this package.

%(prog)s runs/mine model.pt2        a program of torch.export: torch.export.load("model.pt2").module()(clips)
%(prog)s runs/mine model.onnx       ONNX; needs the packages of the extra `onnx`

The program takes clips as uint8 of N x T x H x W x 3 (RGB), resized and cropped, and gives scores, N x K. Normalizing
and the split into pathways are inside; N is any number. The names of the classes are in the file. Every program is run
and compared with the model on this device. Exit status: 2 if it cannot be written or its scores differ.
"""

import argparse

from slowfast.inference.export import check_format, export
from slowfast.inference.options import add_model_options, check_output, load_model
from slowfast.utils.parser import fail_cleanly, parse_args


@fail_cleanly()
def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv, make_parser())
    for path in args.out:
        check_output("OUT", path, [check_format(path)])
    model = load_model(args)
    for path in args.out:
        written, difference = export(model, path)
        size = written.stat().st_size / 1e6
        print(f"{written}: {size:.1f} MB; its scores differ by at most {difference:.1e} of the model's largest")
    return 0


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument("out", metavar="OUT", nargs="+", help="files to write: .pt2, .onnx")
    return parser
