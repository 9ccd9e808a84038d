"""python -m dlgrad info | demo"""

from __future__ import annotations

import argparse
import sys


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m dlgrad", description="dlgrad: autograd with PyTorch's names."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser(
        "info", help="version, CPU level, threads, caches, memory, optional packages"
    )
    demo = commands.add_parser("demo", help="train on handwritten digits")
    demo.add_argument("--model", choices=("mlp", "cnn"), default="mlp", help="default: mlp")
    demo.add_argument(
        "--epochs", type=int, help="passes over the data (default: mlp 30, cnn 20, MNIST 3)"
    )
    demo.add_argument("--seed", type=int, default=0, help="the same seed gives the same numbers")
    demo.add_argument(
        "--out", default="dlgrad-demo.png", help="where the figure goes (default: dlgrad-demo.png)"
    )
    demo.add_argument(
        "--data", metavar="DIR", help="a folder with MNIST's four IDX files (packed or not)"
    )
    demo.add_argument("--save", metavar="FILE", help="also write the weights, as safetensors")
    return parser


def main(arguments=None):
    """Runs the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    if options.command == "info":
        from . import info

        print(info.report())
        return 0
    from . import demo

    if options.epochs is not None and options.epochs < 1:
        print("dlgrad demo: --epochs must be at least 1", file=sys.stderr)
        return 2
    try:
        demo.run(
            options.model, options.epochs, options.seed, options.out, options.data, options.save
        )
    except (OSError, ValueError) as error:
        print(f"dlgrad demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
