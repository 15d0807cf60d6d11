/** What the rest of Gantry needs from the image store. Sizes in bytes, times in ms since the epoch. */
export interface ImageStore {
  /** The image a manifest's name means, as held now; undefined when it is not held. @throws name-invalid */
  resolve(name: string): Promise<Image | undefined>;
  list(): Promise<Image[]>;
  /**
   * Brings in a docker-archive, OCI archive, OCI layout, plain rootfs tar or directory, told apart by content.
   * @param from a path, or a stream
   * @param shownAs what errors call a stream; default "the standard input"
   * @throws image-invalid, name-invalid, disk-full, not-found (no such file)
   */
  import(from: string | NodeJS.ReadableStream, name: string, signal: AbortSignal, shownAs?: string): Promise<Image>;
  /**
   * Removes a name, and the data when it was the last one; given a digest (or 12 and more digits of it) all names.
   * @param inUse says by whom: who uses the image; with a name, who uses it by that name, which alone is to go
   * @throws not-found, image-in-use
   */
  remove(nameOrDigest: string, inUse: (digest: string, name: string | undefined) => readonly string[]): Promise<void>;
  /**
   * The image's read-only root, mounted once and shared by all pods; mounts it when it is not.
   * @returns an absolute directory. @throws image-missing
   */
  rootfs(digest: string, signal: AbortSignal): Promise<string>;
  /**
   * The same root as an EROFS file, for the disk of a micro-VM. @returns an absolute path; the file is sparse and all
   * such files have one size. @throws image-missing, host-unsupported (this host keeps images as trees)
   */
  rootFile(digest: string, signal: AbortSignal): Promise<string>;
  /** Resolves when no mount is in the making: one goes on when those who wanted it have given up. Never fails. */
  settled(): Promise<void>;
  /**
   * Unmounts roots of images that no one in `used` needs; `used` must hold those of pods that are being set up too.
   * Never fails because something is busy.
   */
  unmountUnused(used: ReadonlySet<string>): Promise<void>;
}

export interface Image {
  /** Digest of the image config: its identity, e.g. "sha256:…". */
  readonly digest: string;
  /** Full names, e.g. "docker.io/library/busybox:latest" or "localhost/hello:1". */
  readonly names: readonly string[];
  readonly sizeBytes: number;
  readonly createdAt: number;
  readonly architecture: string;
  readonly config: ImageConfig;
}

/** The parts of the OCI image config that a pod needs. */
export interface ImageConfig {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly workingDir: string;
  /** "", "user", "uid", "user:group", … */
  readonly user: string;
  readonly stopSignal: string | undefined;
}
