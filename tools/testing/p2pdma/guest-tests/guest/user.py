# SPDX-License-Identifier: GPL-2.0
"""An ordinary user in the group of the allocate file."""
import os

from guest.worker import Worker

USER, GROUP = 1000, 1001
WORD = f"{USER}:{GROUP}"        # format of the kselftests


def invite(test, *paths):
    """Let the user read and write the files, until the end of the case."""
    for path in paths:
        before = os.stat(path)
        test.later(_restore, path, before)
        os.chown(path, 0, GROUP)
        os.chmod(path, 0o660)


def _restore(path, before):
    if os.path.exists(path):
        os.chown(path, before.st_uid, before.st_gid)
        os.chmod(path, before.st_mode & 0o7777)


def begin(test, function, *args):
    """Run FUNCTION(worker, *args) as the user. Return the Worker."""
    def work(worker):
        os.setgroups([])
        os.setresgid(GROUP, GROUP, GROUP)
        os.setresuid(USER, USER, USER)
        function(worker, *args)
    return Worker(test, work)


def do(test, function, *args):
    """Run FUNCTION(*args) as the user. Return "done" or the name of an errno or signal."""
    return begin(test, lambda _: function(*args)).wait()
