"""What an import of the package sees to."""

import subprocess
import sys


def test_albumentations_asks_no_server_for_its_newest_version() -> None:
    code = (
        'import socket\n'
        'def refuse(*_, **__): raise SystemExit("a connection was asked for")\n'
        'socket.socket.connect = socket.getaddrinfo = refuse\n'
        'import seglight.data.transforms\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
