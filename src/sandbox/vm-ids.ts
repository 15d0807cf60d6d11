/**
 * The user ids that QEMUs run as: the last 16 Mi below 2^31, above what systemd gives to containers (it ends at
 * 0x6fffffff, systemd.io/UIDS-GIDS) and above the ranges of pods with user namespaces.
 */
export const FIRST_VM_ID = 0x7f00_0000;
export const LAST_VM_ID = 0x7fff_fffe;
