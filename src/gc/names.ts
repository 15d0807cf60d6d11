/** Images that manifests name, whatever their kind: pods, and the templates of pods. Pure. */
const LISTS: ReadonlySet<string> = new Set(["containers", "initContainers", "ephemeralContainers"]);

/** What a volume is an image of. */
function volumeImage(volume: unknown): string[] {
  const image = typeof volume === "object" && volume !== null ? Reflect.get(volume, "image") : undefined;
  const reference = typeof image === "object" && image !== null ? Reflect.get(image, "reference") : undefined;
  return typeof reference === "string" ? [reference] : [];
}

/** The value of `image` in every list of containers, and what volumes are images of, at any depth. */
export function imageNamesIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(imageNamesIn);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    if (key === "metadata" || key === "data" || key === "stringData") return [];
    if (key === "volumes" && Array.isArray(inner)) return inner.flatMap(volumeImage);
    if (!LISTS.has(key) || !Array.isArray(inner)) return imageNamesIn(inner);
    return inner.flatMap((container: unknown) => {
      const image = typeof container === "object" && container !== null ? Reflect.get(container, "image") : undefined;
      return typeof image === "string" ? [image] : [];
    });
  });
}
