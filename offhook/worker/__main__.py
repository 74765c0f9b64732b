"""`python -m offhook.worker --link-fd N`: started by the switch, never by hand."""

import argparse

from offhook.worker.main import main

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--link-fd", type=int, required=True)
main(parser.parse_args().link_fd)
