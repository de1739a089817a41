"""What stands after `try:`, as it is in the source, `{}` for what is put in: run by which test, or why not.

tests/unit/test_hints.py compares this with backend_server/.
"""

from __future__ import annotations


# Where a line is pasted, and the trouble is gone or the next question is there.
TRIED = "run/test_refusals.py::test_what_stands_after_try"
SHOWN = "run/test_refusals.py::test_what_only_shows"
REVIEW = "review/test_review.py"
IN_FORCE = "run/test_in_force.py"
BENEATH = "run/test_beneath.py"

PASTED = {
    "sudo backend people password --reset {}": TRIED,
    "sed -i '1i +:{}:ALL' {}": f"{IN_FORCE}::test_what_keeps_developers_out_is_told_at_any_time",
    "sudo backend": TRIED,
    "sudo backend people readmit {}": f"{IN_FORCE}::test_a_password_for_whoever_is_revoked",
    "echo '#includedir {}' >> {}": TRIED,
    "sed -i '/^# BEGIN opensafely/d; /^# END opensafely/d' {}": TRIED,
    "grep -n {} {}": TRIED,
    "sudo backend people list": TRIED,
    "sudo systemctl start opensafely-review.service": f"{REVIEW}::test_the_way_back_keeps_the_edit",
    "sudo ./{}/manage.sh {}": "run/test_refusals.py::test_not_root",
    "sudo backend people who ada": TRIED,
    "sudo backend people who USER; ssh-keygen -l -f FILE": TRIED,
    "sudo backend service start {}": TRIED,
    "sudo backend service logs {}": TRIED,
    "systemctl restart {}": "desktop/test_shared.py",
    "sysctl -q --system; kill -9 {}; {}": "desktop/test_spoken_for.py",
    "mv {} {}.broken": TRIED,
    "grep -n '\"{}\"' {}": TRIED,
    "grep -n DOCKER_OPTS {}; systemctl cat {}": TRIED,
    "sudo backend service restore {} {}": "airlock/test_airlock_cut.py::test_after_a_ctrl_c_the_line_after_try_restores_what_was_meant",
    "sudo backend host maintenance": "docker/test_networks.py::test_iptables_flushed_by_hand",
    "lsattr -d {}; chattr -ia {}; findmnt -T {}": "services/test_images.py::test_what_cannot_be_written_down_is_not_tried",
    "date --set='{} seconds'; timedatectl": "services/test_bad_days.py::test_the_time_that_others_have",
    "sudo backend status; journalctl -kn 20": "run/test_beneath.py::test_a_file_that_cannot_be_read",
    "chattr -ia {} {}": "run/test_one_failure.py::test_what_is_not_reached_is_one_line",
    "mv -T {} {}.old": TRIED,
    "docker stop {}": "services/test_bad_days.py::test_a_host_with_another_agent_becomes_no_backend_before_that_is_stopped",
    "timedatectl": SHOWN,
    "sudo backend people revoke {} --why 'a laptop was stolen'": TRIED,
    "sudo ./{}/manage.sh": TRIED,
    "sed -i '/^ *{}:/d' /etc/passwd": TRIED,
    "groupmod -g {} {}; find / -xdev -gid {} -exec chgrp -h {} {} +": TRIED,
    "groupadd -f {}; usermod -g {} {}": TRIED,
    "gpasswd --delete {} {}": TRIED,
    "apt-cache policy {}": "run/test_one_failure.py::test_a_pin_that_keeps_one_of_ours_away",
    "apt-get purge {}": "base/test_packages.py",
    "usermod -u {} {}": TRIED,
    "usermod --home {} --move-home {}": TRIED,
    "systemctl unmask ssh.service; systemctl enable ssh.service": (
        f"{IN_FORCE}::test_an_sshd_that_does_not_come_back"
    ),
    "apt-get update && apt-get install --reinstall libpam-modules": (
        "run/test_one_failure.py::test_a_module_of_pam_s_that_somebody_took_away"
    ),
    "grep -rn Invoke /etc/apt": "run/test_one_failure.py::test_a_hook_of_the_vendor_s_that_fails",
    "systemctl unmask {}; systemctl enable --now {}": f"{IN_FORCE}::test_a_clock_that_nothing_sets",
    "chattr -ia {}": "run/test_one_failure.py::test_a_file_that_root_may_not_change",
    "mount -o remount,size={}M /run": f"{BENEATH}::test_a_run_of_a_few_megabytes",
    "mount -o remount,rw {}": f"{BENEATH}::test_a_file_system_that_cannot_be_written_to",
    "echo 127.0.1.1 {} >> /etc/hosts": f"{BENEATH}::test_a_name_that_no_file_knows",
    "mkdir -p {} && mv {} {}": "run/test_refusals.py::test_a_path_that_a_shell_reads_otherwise",
    "sudo {}/{}/manage.sh": TRIED,
    "sed -i 's/^    name=.*/    name=\"{}\",/' {}": "run/test_new_backend.py::test_a_new_backend_from_a_bare_host",
    "visudo -f {}": "run/test_providers_image.py::test_a_first_run_comes_to_a_good_end",
    "journalctl -u {}; systemctl start {}": "desktop/test_shared.py",
    "nft --file {}": "docker/test_networks.py",
    "pkill -KILL -u {}": "desktop/test_shared.py",
    # These change nothing.
    "apt-get update; nft list table inet opensafely": SHOWN,
    "sudo backend host disk": SHOWN,
    "journalctl -u ssh -n 50": SHOWN,
    "journalctl -u ssh": SHOWN,
    "grep -rni include {} {}": SHOWN,
    "grep -rni {} /etc/ssh": SHOWN,
    "sudo backend people sessions": SHOWN,
    "sudo backend status": SHOWN,
    "df -h; df -i; sudo backend status": SHOWN,
    "df -h; journalctl -t backend-server -n 1": SHOWN,
    "ps -fp {}": SHOWN,
    "namei -l {}": SHOWN,
    "getent {} {}; grep ^{} /etc/nsswitch.conf": SHOWN,
    "systemctl status {}; sudo backend": SHOWN,
    "sudo backend job list --since 2d": "jobs/test_jobs.py::test_a_job_is_seen_and_ends_well",
    "systemctl cat {}": SHOWN,
    "systemctl status {}": SHOWN,
    "ssh-keygen -l -f keys/{}": SHOWN,
    "findmnt --target {}": SHOWN,
    "getent group {}": SHOWN,
    "ls {}/*/manage.sh": SHOWN,
    "git -C {} diff {}/backend.py": SHOWN,
    "sudo backend service secrets": SHOWN,
    "sudo backend service list": SHOWN,
    "ls -lR {}": SHOWN,
    "ls {}/{}": SHOWN,
}

_OWN = "their own password, which nobody else may know"
_AGAIN = "what it waits for is not ours to end"
_CODE = "a mistake in the declaration, which its author mends"
_WHO = "who is to be here is decided by people, in the repository"
_VALUE = "only a person knows which"
NO_COMMAND = {
    "sudo backend service certificate airlock < {}.pem": "the file is OpenSAFELY's, and comes with a person",
    "sudo backend service restart airlock; sudo backend": "who keeps the database locked is not known",
    "apt-get install chrony": "a container's clock is its machine's, and it is not told there",
    "sudo backend job logs": "of the job that was named; jobs/test_jobs.py does",
    "to change it: passwd; if it is forgotten, ask another developer": _OWN,
    "ssh -t, then again": "typed on another machine",
    "log in as yourself and type: sudo opensafely-password": _OWN,
    "{} types: sudo opensafely-password": _OWN,
    "think of another one and run this again": _OWN,
    "a line on {}/reviewers and a run make somebody one": _WHO,
    "second_factor=True in {}/backend.py, and a run": "what a backend is, is decided in the repository",
    "correct these lines, commit, and run this again": _VALUE,
    "{} --help": "of the command that was typed, tried by cli/test_command_line.py",
    "on a terminal, without --json: backend {}": "no terminal is here",
    "the same without --json": "what was typed is not known in whole",
    "run it again to go on where it ended": "what was typed is not known in whole",
    "where they should go elsewhere, declare one there": "what a backend is, is decided in the repository",
    "sudo backend service secrets set NAME": _VALUE,
    "choose from {}": _VALUE,
    "when these have ended, run this again: it makes the network anew": _AGAIN,
    "something else on this host changes it back, or the change had no effect": "what that is, is not known",
    "declare each fact in one component only": _CODE,
    "declare the directory first": _CODE,
    "declare a Directory there, or another path": _CODE,
    "wait for it to end, then run this again": _AGAIN,
    "find out which package brings {} and install it": "no package that is declared brings it",
    "run it by hand to see what it waits for": "it stands in the sentence, with what it is given",
    "run this on a terminal, or answer beforehand with --yes": "to answer is the question",
    "mend that line, or remove it and {} again: {}": "who is shut out, or at what, is decided by people",
    "sudo backend host maintenance --wait 2h": "waits for jobs; jobs/test_maintenance.py does",
    "`sudo backend` puts /etc/docker/daemon.json right": "part of a line of `host maintenance`",
    "sudo backend job kill": "ends a job for good; jobs/test_jobs.py does",
    "echo YOUR-GITHUB-NAME >> {}/developers, and commit that": _WHO,
    "mend one of these and run this again": "each of these says how",
    "let somebody run this who stays, or mend that first": _WHO,
    "run this again; if that does not help, reboot": "what the kernel does not end, nothing ends",
    "groupmod -g ANOTHER {}, then chgrp its files": _VALUE,
    "usermod -u ANOTHER {}, then chown its files": _VALUE,
    "apt-get install {}": "upgrades what a run does not, when it suits; no archive here has two versions",
    "take the name off the roster": _WHO,
    "name {} in provider_accounts of {}/backend.py, or take the rule out: sudo -l -U {}": _WHO,
    "sudo ./scripts/sandbox.sh test": "where no systemd is; sandbox/test_sandbox_command.py does",
    "see `follows` in backend.py": "what a backend is, is decided in the repository",
    "sudo backend service update {} --to sha256:…": _VALUE,
    "install one of these, or add a row to backend_server/text/releases.py": "another release is another machine",
}  # fmt: skip
