# clean.sh STAGE: takes away what a copy left.
rm -rf "$1"
