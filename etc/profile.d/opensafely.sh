# A shell that is idle for 900 seconds ends. Some sessions source this twice, and a second
# assignment to a read-only variable ends dash: hence the question first.
if [ "${TMOUT:-}" != 900 ]; then
    TMOUT=900
    readonly TMOUT
    export TMOUT
fi
