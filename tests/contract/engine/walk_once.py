"""Not a test: makes one resource so below a root, for strace to disturb.

    python3 -I -S walk_once.py ROOT RESOURCE

RESOURCE is the repr of one. The first system call that belongs to the work comes after MARK.
"""

import os
import sys
from pathlib import Path


MARK = "the-work-begins"

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[3]))
    from backend_server import resources
    from backend_server.base.hosts_block import HostsBlock
    from backend_server.base.setting import LoginDefs
    from backend_server.engine import report
    from backend_server.engine.engine import component, walk
    from backend_server.host.writer import Host

    root, text = sys.argv[1:]
    nouns = {**vars(resources), "HostsBlock": HostsBlock, "LoginDefs": LoginDefs}
    declared = [component("disturbed", [eval(text, nouns)])]
    host = Host(Path(root))
    os.access(MARK, os.F_OK)
    for outcome in walk(declared, host):
        print(report.kind(outcome), outcome.error or "", flush=True)
