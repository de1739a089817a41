#!/bin/bash
# Makes the folder of a new backend, as another one has it: docs/new-backend.md.
#
#   scripts/new-backend.sh NAME --like BACKEND
#
# Its people are nobody, its images none. Then it says what is to be edited, accepts the plans of the new backend,
# and runs the tests that judge it. Nothing is overwritten; it needs no root.
set -euo pipefail
here=$(cd -P -- "$(dirname "$(readlink -f "$0")")/.." && pwd)

refuse() {
    printf 'error: %s\n   try: %s\n' "$1" "$2" >&2
    exit 2
}

# LC_ALL: a to z is no é.
is_name() {
    local LC_ALL=C
    [[ $1 =~ ^[a-z][a-z0-9-]*$ && ! $1 =~ ^(and|or|not)$ ]] # pytest's words for which tests to run
}

usage='./scripts/new-backend.sh NAME --like BACKEND'
name='' like=''
while (($#)); do
    case $1 in
    --like)
        [[ ! $like && ${2-} ]] || refuse "--like wants one backend" "$usage"
        like=$2 && shift
        ;;
    -*) refuse "there is no option $1" "$usage" ;;
    *)
        [[ ! $name ]] || refuse "found $name and $1; wanted one name" "$usage"
        name=$1
        ;;
    esac
    shift
done
[[ $name && $like ]] || refuse "found ${name:-no name}, like ${like:-none}; wanted both" "$usage"
is_name "$name" || refuse "$(printf '%q' "$name") is no name of a backend; wanted a to z, then a to z, 0 to 9 and -" "$usage"
{ is_name "$like" && [[ -f $here/$like/backend.py && -f $here/$like/manage.sh ]]; } ||
    refuse "there is no backend $(printf '%q' "$like") here" "ls $here/*/manage.sh"
[[ ! -e $here/$name && ! -L $here/$name ]] || refuse "$here/$name is there already, and nothing is overwritten" \
    "another name, or look at it: ls -la $here/$name"

# ---- the folder: made beside the others under a name that git ignores, and moved there as a whole

new=$(mktemp -d "$here/.new-backend-cache.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 130' HUP INT TERM
chmod 755 "$new"
as_its_own() {
    sed "s/\\b$like\\b/$name/g"
}

# An image that follows a tag is somebody's exception, who answers for it there and not here.
without_exceptions() {
    awk '/^    #/ { said = said $0 "\n"; next }
        /^    follows=/ { said = ""; gone = 1 }
        !gone { printf "%s%s\n", said, $0; said = "" }
        /^    follows=.*\),$/ || /^    \),$/ { gone = 0 }' |
        sed '/^from .* import /s/, Follow\b//'
}

readme() {
    cat <<END
# $name

Not said yet: which machine this is, where it stands, and who provides it. Made like [$like](../$like/README.md).

    sudo ./$name/manage.sh

**What differs.** \`./$name/manage.sh show --release noble --against $like\` lists it. Why, is not said yet.

**How to get in.** Not said yet. What its provider must give us stands in [docs/provider.md](../docs/provider.md#$name).

**Files.**

| file | says |
|---|---|
| backend.py | title, rosters, provider accounts; the endpoints, which \`plan\` tries and services may reach; the database that jobs may reach |
| backend.env | the mirrors, read by bash too, before there is a Python; it may be empty |
| hosts | pinned addresses, lines as in /etc/hosts; all that containers know of names |
| images.lock | the digest that each service runs at here; [another image](../docs/playbook.md#another-image) |
| service.env | what is different in the services' environment here |
| researchers, reviewers | where backend.py names them among its rosters: who is on them here; [format](../docs/rosters.md) |
| [../developers](../developers) | the developers, the same people on every backend |
| [../keys](../keys/README.md) | public keys of those who do not show theirs at GitHub |
| manage.sh | the command, the same file on every backend |
END
}

cp -- "$here/$like"/{manage.sh,hosts,backend.env} "$new/"
as_its_own <"$here/$like/service.env" >"$new/service.env"
without_exceptions <"$here/$like/backend.py" | as_its_own |
    sed "s/^    title=.*/    title=\"$name\",/" >"$new/backend.py"
# Comments alone: no person and no image comes from elsewhere.
for file in images.lock researchers reviewers; do
    [[ ! -e $here/$like/$file ]] || { grep '^#' "$here/$like/$file" || true; } | as_its_own >"$new/$file"
done
readme >"$new/README.md"
mv -nT -- "$new" "$here/$name"
[[ ! -e $new ]] || refuse "$here/$name came into being meanwhile, and nothing is overwritten" "ls -la $here/$name"
trap - EXIT HUP INT TERM

# ---- what a person says of it, and what the tests do

# edit FIELD WHAT: where it stands in backend.py, or is to stand.
edit() {
    local line
    line=$(grep -n -m 1 "^    $1=" "$here/$name/backend.py" | cut -d: -f1) || true
    printf '  %-28s %-18s %s\n' "$name/backend.py${line:+:$line}" "$1" "$2"
}

cat <<END
$name/ is there, as $like has it: nobody is on its rosters, and no image is chosen. Five lines to edit, and add where no number stands:
END
edit title 'its name in sentences'
edit rosters 'whom of developers, researchers and reviewers we manage: a file for each but developers'
edit provider_accounts 'accounts of the provider that are never touched'
edit database 'what jobs may reach, ADDRESS:PORT'
edit rdp_address 'where reviewers come in by remote desktop, or none'
cat <<END
Then $name/hosts, backend.env, service.env and README.md, and a row in README.md: docs/new-backend.md.
Afterwards: ./scripts/test.sh accept, read what that changed, ./scripts/test.sh quick, and commit it.
END
cd "$here"
./scripts/test.sh accept -q
exec ./scripts/test.sh tests/unit -q -k "$name"
