import gzip, io, json, subprocess, tarfile
from pathlib import Path
import pytest
from sandbox import fixtures
from sandbox.images import TRUSTED, config, JOB_RUNNER
from sandbox.outside import COLLECTOR
from sandbox.pieces import archive, pieces, plain
from sandbox.registry import Registry, Layer, digest as dg
from tests.hosts.jobs import jobbing
from tests.hosts.managing import CHECKOUT, manage, history
from tests.hosts.programs import wait_until
from tests.hosts.services.running import *

HERE = Path("/root/real-jobrunner")

def layer(dirs, files=(), texts={}):
    raw = io.BytesIO()
    skip = ("__pycache__", "/test/", "/tests/", "/idlelib", "/tkinter", ".a", "/pip/", "config-3.12")
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, at in dirs:
            def f(item):
                return None if any(s in f"/{item.name}/" or item.name.endswith(s) for s in skip) else plain(item)
            tar.add(path, at, filter=f)
        for name, text in texts.items():
            item = plain(tarfile.TarInfo(name)); item.size, item.mode = len(text.encode()), 0o755
            tar.addfile(item, io.BytesIO(text.encode()))
    whole = raw.getvalue()
    return Layer(gzip.compress(whole, 1, mtime=0), dg(whole))

def libs(*paths):
    found = set()
    for p in paths:
        for line in subprocess.run(["ldd", p], capture_output=True, text=True).stdout.splitlines():
            w = line.split()
            if "=>" in line and w[2].startswith("/"): found.add(w[2])
    return found

@pytest.fixture(scope="module")
def real(sandbox):
    P = "/root/.pyenv/versions/3.12.1"
    dyn = list(map(str, Path(P, "lib/python3.12/lib-dynload").glob("*.so")))
    need = libs(f"{P}/bin/python3.12", "/usr/bin/git", "/usr/lib/git-core/git-remote-https", *dyn) 
    files = [(p.lstrip("/"), Path(p).resolve()) for p in sorted(need) if "ld-linux" not in p and "libc.so" not in p and "pyenv" not in p]
    files += [("usr/bin/git.real", Path("/usr/bin/git"))]
    V = "opt/venv"
    start = "#!/bin/bash\nexec /opt/venv/bin/python -m agent.service\n"
    py = layer([(P, "opt/py")], texts={})
    site = str(HERE / "venv/lib/python3.12/site-packages")
    app = layer([(str(HERE / "app/agent"), "app/agent"), (str(HERE / "app/common"), "app/common"), (site, "opt/py/lib/python3.12/site-packages")],
        texts={"usr/bin/git": "#!/bin/bash\nif [ \"$1\" = ls-remote ]; then printf '%s\\trefs/heads/main\\n' $(cat /workdir/sha); else exec git.real \"$@\"; fi\n", "app/docker/scripts/agent.sh": start, "opt/venv/bin/python": "#!/bin/bash\nexport PYTHONPATH=/app LD_LIBRARY_PATH=/opt/py/lib PYTHONHOME=/opt/py\nexec /opt/py/bin/python3.12 \"$@\"\n"})
    images = sandbox.outside.images
    parts = pieces(sandbox.outside.mirror, Path("/var/cache/sbx-agent"))
    base = [parts.base(), archive([(TRUSTED, sandbox.outside.authority.certificate)])]
    layers = [*base, archive([("usr/bin/docker", parts.docker)]), archive(files), py, app]
    reg = Registry(images.registry, images.data, sandbox.outside.folder / "regpush")
    proc = reg.start(frozen=False)
    try:
        c = dict(config([], "/app", {"org.opencontainers.image.source": "https://github.com/opensafely-core/job-runner", "org.opencontainers.image.revision": "dd0c916"}))
        c["created"] = "2026-08-21T00:00:00Z"
        c["config"]["Env"] += [f"REQUESTS_CA_BUNDLE=/{TRUSTED}", "PYTHONPATH=/app"]
        return reg.push(JOB_RUNNER, ("real",), layers, c)
    finally:
        proc.kill(); proc.wait()

@pytest.fixture(scope="module")
def host(shared_warm_host):
    host = shared_warm_host("test", shape=[fixtures.hurried], legacy_cgroups=True)
    starts_anew_quickly(host)
    return host

def show(host, words):
    done = manage(host, words)
    print(f"$ backend {words} -> {done.returncode}\n{done.stdout}{done.stderr}")
    return done

REPO = r"""set -e
cd /root; rm -rf study; mkdir study; cd study; git init -q; git config user.email a@b; git config user.name a
echo 'version: "4.0"' > project.yaml; git add .; git commit -qm x
sha=$(git rev-parse HEAD); git tag fetched/$sha
at=/var/lib/opensafely/jobrunner/repos; mkdir -p $at
git clone -q --bare --no-hardlinks . $at/invented.git; git -C $at/invented.git tag -f fetched/$sha $sha >/dev/null
rm -rf $at/invented; cp -r $at/invented.git $at/invented
chown -R opensafely:opensafely $at; echo $sha > /var/lib/opensafely/jobrunner/sha; echo $sha
"""

def test_real(host, outside, controller, real, sandbox):
    try:
        show(host, f"service update jobrunner --to {real} --yes")
        print(host.run("journalctl CONTAINER_NAME=jobrunner -n 30 -o cat").stdout)
        show(host, "service list")
        sha = host.run(REPO).stdout.strip().splitlines()[-1]
        extra = dict(commit=sha, repo_url="https://github.com/opensafely/invented",
            study={"git_repo_url": "https://github.com/opensafely/invented", "commit": sha, "branch": "main"})
        job = controller.add("test", "-c", "open('/workspace/a.csv','w').write('a\\n1\\n')", outputs={"a.csv": "moderately_sensitive"}, workspace="w1", **extra)
        try:
            print(controller.wait(job.task, timeout_s=40)["results"])
        except Exception as e:
            print(e); print(host.run("journalctl CONTAINER_NAME=jobrunner -n 80 -o cat").stdout)
        show(host, "job list --since 1h")
        print(host.run("find /srv/medium_privacy /srv/high_privacy -type f -printf '%M %u:%g %p\\n'").stdout)
        # a job that runs out of memory
        oom = controller.add("test", "-c", "x = bytearray(600 << 20); print(len(x))", workspace="w1", memory_limit="64m", **extra)
        try:
            print(controller.wait(oom.task, timeout_s=40)["results"])
        except Exception as e: print(e)
        show(host, "job list --since 1h")
        # an archived workspace errs
        host.run("install -d -o opensafely /srv/high_privacy/archives; touch /srv/high_privacy/archives/w7.tar.gz")
        arch = controller.add("test", "-c", "pass", workspace="w7", **extra)
        wait_until(lambda: listed(host)["erring"], timeout_s=40)
        show(host, "status"); show(host, "job list"); show(host, f"job logs --agent {arch.id}")
        show(host, "service restart jobrunner")
        controller.cancel(arch)
        wait_until(lambda: not listed(host)["erring"], timeout_s=60)
        # disk away: folder that cannot be looked into
        host.run("chmod 0 /srv/high_privacy/archives; chown root /srv/high_privacy/archives")
        w8 = controller.add("test", "-c", "pass", workspace="w8", **extra)
        wait_until(lambda: listed(host)["erring"], timeout_s=40)
        show(host, "job list")
        controller.cancel(w8)
        manage(host, "--offline")
        # unknown field
        controller.give("test", "dbstatus", "t1", {}, novel_field=1)
        wait_until(lambda: "novel_field" in manage(host, "status").stdout, timeout_s=60)
        show(host, "status")
        said = [("novel_field" in manage(host, "status").stdout) for _ in range(12)]
        print("steady", said)
        controller.withdraw("t1")
        # telemetry
        host.run("sed -i 's|^    dummy_data=True|    telemetry=\"https://collector.opensafely.org\",\\n&|' /srv/backend-server/test/backend.py")
        host.run("cat >> /etc/opensafely/env/02_secrets.env", stdin="OTEL_EXPORTER_OTLP_HEADERS=Authorization=Basic%20x\n")
        print("off:", outside.collected(host.address))
        show(host, "--offline")
        print(host.run("docker logs jobrunner 2>&1 | tail -5").stdout)
        job = controller.add("test", "-c", "pass", workspace="w1", **extra)
        print(controller.wait(job.task, timeout_s=60)["results"]["exit_code"])
        try:
            wait_until(lambda: outside.collected(host.address), timeout_s=30)
        finally:
            got = outside.collected(host.address)
            print("collected", len(got), [ (g["authorization"], len(g["body"]), job.id in g["body"], "w1" in g["body"]) for g in got][:5])
        from sandbox.answer import Answer
        outside.answer(COLLECTOR, "*", Answer(b"", 0, ends=False))
        for _ in range(2):
            job = controller.add("test", "-c", "pass", workspace="w1", **extra)
            print("hang:", controller.wait(job.task, timeout_s=60)["results"]["exit_code"])
        show(host, "service list")
        import time as t
        b = t.time(); show(host, "service restart jobrunner"); print("restart took", t.time()-b)
        show(host, "service rollback jobrunner --yes")
        show(host, "service list")
    finally:
        print(host.run("journalctl CONTAINER_NAME=jobrunner -n 25 -o cat").stdout)
    assert 0
