# CIS benchmark, section 5.4: files of users are for themselves, and forgotten shells end.
umask 027
TMOUT=900
readonly TMOUT
export TMOUT
