# Developers read here what was done to anybody's access of late; nobody else can.
if [ -t 1 ] && [ -r /var/lib/opensafely/notices ]; then
    cat /var/lib/opensafely/notices
fi
# A shell that is idle for 900 seconds ends. An assignment to a read-only variable would end
# dash, and it may be one: some sessions source this twice, and a provider has files here too.
if [ "${TMOUT:-}" != 900 ] && (TMOUT=900) 2> /dev/null; then
    TMOUT=900
    readonly TMOUT
    export TMOUT
fi
