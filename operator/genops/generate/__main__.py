"""`python -m genops.generate`: the same as `genops generate`."""

import argparse
import sys

from genops.generate import cli

parser = argparse.ArgumentParser("genops generate", description=cli.__doc__)
cli.configure(parser)
sys.exit(cli.main(parser.parse_args()))
