"""`python -m offhook.worker --link-fd N`: started by the switch, never by hand."""

import argparse

from offhook.worker.main import main

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--link-fd", type=int, required=True)
parser.add_argument("--page-fd", type=int)
given = parser.parse_args()
main(given.link_fd, given.page_fd)
