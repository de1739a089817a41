# Developers read here what was done to anybody's access of late; nobody else can.
if [ -t 1 ] && [ -r /var/lib/opensafely/notices ]; then
    cat /var/lib/opensafely/notices
fi
# A shell that is idle for 900 seconds ends. Some sessions source this twice, and a second
# assignment to a read-only variable ends dash: hence the question first.
if [ "${TMOUT:-}" != 900 ]; then
    TMOUT=900
    readonly TMOUT
    export TMOUT
fi
