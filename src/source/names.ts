/** Which names in a manifest folder are manifests. Pure. */

/** Editors' temporaries and backups: vim's `4913` test file and swap files, `~` and `.bak` copies, emacs' `#…#`. */
const TEMPORARY = /^4913$|~$|\.(swp|swo|swx|bak|tmp|orig|rej|part)$|^#.*#$/i;

/** True for a file that is read as a manifest, by its name alone; `.age` at its end for one that is encrypted. */
export function isManifestName(name: string): boolean {
  return !name.startsWith(".") && !TEMPORARY.test(name) && /\.(ya?ml|json)(\.age)?$/i.test(name);
}

/**
 * True for a name that may matter to the watcher: a folder, a manifest, or `..data`, the link that
 * Kubernetes swaps to change all files of a mounted ConfigMap at once.
 */
export function isWatchedName(name: string): boolean {
  if (name.startsWith("..")) return true;
  return !name.startsWith(".") && !TEMPORARY.test(name);
}
