#!/bin/bash
# Makes the seed that turns a vendor's cloud image into a backend at its first boot: docs/first-boot.md.
#
#   scripts/seed.sh BACKEND FOLDER     writes user-data, meta-data, backend.git and a disk of them to FOLDER
#   --network-config FILE              with these addresses, where no DHCP server gives any
#   --plan                             the host only says what would be done, in /var/log/cloud-init-output.log
#
# The seed holds this checkout's last commit, and no secrets. Neither root nor a loop device is needed.
set -euo pipefail
here=$(cd -P -- "$(dirname "$(readlink -f "$0")")/.." && pwd)
source=https://github-proxy.opensafely.org/opensafely-core/backend-server

die() {
    printf 'error: %s\n   try: %s\n' "$1" "$2" >&2
    exit 2
}

usage() {
    die "$1" './scripts/seed.sh BACKEND FOLDER [--network-config FILE] [--plan]'
}

words=() network='' arguments='--yes'
while (($#)); do
    case $1 in
    --network-config) network=${2-} && shift && [[ -f $network ]] || usage "no file ${network:-is named} for --network-config" ;;
    --plan) arguments=plan ;;
    -*) usage "there is no option $1" ;;
    *) words+=("$1") ;;
    esac
    shift
done
((${#words[@]} == 2)) || usage "found ${#words[@]} words; wanted a backend and a folder"
backend=${words[0]} folder=${words[1]}
[[ -x $here/$backend/manage.sh ]] || usage "there is no backend $backend here"
for program in git genisoimage; do
    command -v "$program" >/dev/null || die "this machine has no $program" "sudo apt-get install $program"
done
# Whoever runs this may not be who the checkout belongs to.
git=(git -c "safe.directory=$here" -C "$here")
[[ -z $("${git[@]}" status --porcelain) ]] || die "what is not committed would not be in the seed" \
    "git status, then git commit"
commit=$("${git[@]}" rev-parse HEAD)

# What the host runs at each boot, until it has worked once: a first boot may fall into a bad hour.
first_boot() {
    cat <<END
#!/bin/bash
# Makes this machine the backend $backend. At each boot, until it has worked once; then it is gone.
set -euo pipefail
place=/srv/backend-server commit=$commit
if [ ! -e "\$place" ]; then
    command -v git >/dev/null || apt-get install --yes --no-install-recommends git
    source=$source seed=/var/lib/cloud/seed/nocloud
    if [ -e /dev/disk/by-label/CIDATA ]; then
        seed=/run/opensafely-seed
        mkdir -p "\$seed"
        mountpoint -q "\$seed" || mount -o ro /dev/disk/by-label/CIDATA "\$seed"
    fi
    [ ! -e "\$seed/backend.git" ] || source=\$seed/backend.git
    rm -rf "\$place.new"
    git clone --quiet "\$source" "\$place.new"
    # This commit and no other, wherever it came from.
    git -C "\$place.new" checkout --quiet -B main "\$commit"
    git -C "\$place.new" remote set-url origin $source
    mv "\$place.new" "\$place"
fi
status=0
"\$place/$backend/manage.sh" $arguments || status=\$?
# 3: a plan that differs. 4: as declared, but something of the outside world did not answer.
case \$status in 0 | 3 | 4) rm -- "\$0" ;; *) exit "\$status" ;; esac
END
}

mkdir -p "$folder"
{
    cat <<END
#cloud-config
# Makes this machine the OpenSAFELY backend $backend, at commit $commit. There are no secrets in it.
# Not even the vendor's own account, which would be as good as root: people come from the rosters.
users: []
write_files:
  - path: /var/lib/cloud/scripts/per-boot/opensafely
    permissions: "0700"
    content: |
END
    first_boot | sed 's/^./      &/'
} >"$folder/user-data"
# Another id is another machine: cloud-init then begins anew.
echo "instance-id: opensafely-$backend-${commit:0:12}" >"$folder/meta-data"
files=("$folder/user-data" "$folder/meta-data")
if [[ $network ]]; then
    cp -- "$network" "$folder/network-config"
    files+=("$folder/network-config")
fi

# The names are those of cloud-init's NoCloud, as is the label. Hyper-V takes it as a DVD.
disk=$folder/seed.iso
"${git[@]}" bundle create --quiet "$folder/backend.git" HEAD
genisoimage -quiet -V CIDATA -r -J -o "$disk" "${files[@]}" "$folder/backend.git"
echo "seed of $backend at ${commit:0:12}: $disk, and $folder/user-data for clouds that take that"
