/** `$(VAR)` in commands, arguments and values (k8s.io/kubernetes/third_party/forked/golang/expansion). */

/** `$(VAR)` is replaced where `lookup` knows it and stays literal where it does not; `$$` is a `$`. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (whole, name: string | undefined) => {
    if (name === undefined) return "$";
    return lookup(name) ?? whole;
  });
}
