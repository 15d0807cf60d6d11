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
   * Brings in the image that its registry has under this name now; what is held already is not fetched again. Several
   * callers who want the same at once share the work; it is called off when none of them waits any more.
   * @throws name-invalid, image-missing (no such image or platform), registry-denied, registry-failed, image-invalid
   *   (other content than the registry promised), image-untrusted, disk-full, timeout (no progress), cancelled
   */
  pull(name: string, options: PullOptions): Promise<Image>;
  /** Like `import`, for every image in an OCI archive, layout or docker-archive, each by its own names. */
  importAll(from: string | NodeJS.ReadableStream, signal: AbortSignal, shownAs?: string): Promise<Image[]>;
  /** One OCI archive with these images. @throws not-found before anything is yielded; image-invalid (a file is missing) */
  export(names: readonly string[], signal: AbortSignal): AsyncIterable<Buffer>;
  /**
   * Reads all files of the images (default: of all) and says what is damaged; repairs it if asked to, from the layers or
   * by pulling again. Pods that run on a damaged root go on with it until they are restarted. @throws not-found
   */
  verify(names: readonly string[], repair: boolean, signal: AbortSignal): AsyncIterable<VerifyResult>;
  /**
   * Whether a held image may run under a name; see `ImageTrust.check`. To check an origin again is to `pull` its name
   * with its digest. @throws image-untrusted, invalid-config
   */
  trusted(name: string, image: Image): Promise<Origin | undefined>;
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
  /** What the images take on the disk. */
  usage(): Promise<StoreUsage>;
  /** These are in use now, for `Image.lastUsedAt`. Never throws. */
  touch(digests: Iterable<string>): Promise<void>;
  /** Removes files that belong to no image, left by what failed half-way. @returns how many */
  sweep(): Promise<number>;
  /** Calls off what is being pulled, and waits until nothing of it is left but layers for the next try. */
  close(): Promise<void>;
}

export interface StoreUsage {
  readonly images: readonly {
    readonly digest: string;
    readonly names: readonly string[];
    /** Digests of manifests that mean it, too. */
    readonly aliases: readonly string[];
    readonly createdAt: number;
    readonly lastUsedAt: number;
    /** It came from a file, so that no registry has it for sure. */
    readonly imported: boolean;
    readonly rootBytes: number;
    /** Some may be those of other images, too. */
    readonly blobs: readonly { readonly digest: string; readonly bytes: number }[];
  }[];
  /** The disk that they lie on. */
  readonly disk: { readonly totalBytes: number; readonly availableBytes: number };
}

export interface PullOptions {
  /** Tried in this order until one is let in; none: without a password, beside what the host's auth files say. */
  readonly credentials?: readonly Credential[];
  /** Not what the registry has under the name now, but this manifest, which is held: its signatures are checked again. */
  readonly digest?: string;
  /** Called now and then, with what is known by then. */
  readonly onProgress?: (progress: PullProgress) => void;
  readonly signal: AbortSignal;
}

/** An entry of a docker config file. Whatever is empty is absent. */
export interface Credential {
  readonly username?: string;
  readonly password?: string;
  readonly identityToken?: string;
  /** Where it came from, for messages: "Secret default/registry". */
  readonly from: string;
}

export interface PullProgress {
  readonly stage: "waiting" | "resolving" | "copying" | "unpacking";
  /** Compressed bytes of all layers, and how many of them are here; 0 until they are known. */
  readonly bytes: number;
  readonly totalBytes: number;
  readonly layers: number;
  readonly totalLayers: number;
}

/** What became of an image that was verified. */
export interface VerifyResult {
  readonly digest: string;
  readonly names: readonly string[];
  readonly state: "ok" | "repaired" | "damaged";
  /** What was damaged, in words. */
  readonly findings: readonly string[];
  /** Pods that began before have the damaged root still. */
  readonly rootReplaced?: boolean;
  /** Why it could not be repaired, and what to do. */
  readonly problem?: string;
  readonly hint?: string;
}

/** Where an image came from under one of its names. */
export interface Origin {
  /** Full name, one of the image's. */
  readonly name: string;
  /** Digest of the manifest, or of the index of several platforms, that the registry has under this name. */
  readonly digest: string;
  readonly pulledAt: number;
  /** Who signed it, as the policy found; empty when the policy asks for no signature. */
  readonly signers: readonly string[];
  /** `TrustRule.digest` of the rule by which it was let in. */
  readonly policy: string;
}

/** Decides which images may come in, and which of those that are held may run. */
export interface ImageTrust {
  /** What is asked of an image before it may come in. @throws image-untrusted (rejected outright), invalid-config, name-invalid */
  rule(name: string): Promise<TrustRule>;
  /**
   * Whether a held image may run under this name by the rules of now.
   * @returns undefined when it may; when it came in by another rule, the origin whose signatures must be checked again
   * @throws image-untrusted, invalid-config
   */
  check(name: string, image: Image): Promise<Origin | undefined>;
}

/** The rule that an image's name falls under. */
export interface TrustRule {
  /** Of its text and its keys: same digest, same decision. */
  readonly digest: string;
  /** A containers-policy.json(5) for skopeo, when it copies the image by its digest. */
  readonly policyText: string;
  /** Words skopeo's refusal by that policy for people; other errors pass unchanged. */
  explain(error: unknown): Promise<unknown>;
  /**
   * Checks what skopeo could not.
   * @param digests of the image's index, if it has one, and of its manifest. @returns who signed, for people
   * @throws image-untrusted
   */
  verify(digests: readonly string[], registry: RegistryAccess): Promise<readonly string[]>;
}

/** The registry of an image that has just been copied by its digest. */
export interface RegistryAccess {
  /** Whether skopeo lets the image in by another policy. */
  allows(policyText: string): Promise<boolean>;
  /** The sigstore signatures beside a manifest; none is no error. */
  attachments(digest: string): Promise<readonly { readonly payload: Buffer; readonly signature: string }[]>;
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
  /** One for each name under which it was pulled; none for names under which it was imported. */
  readonly origins: readonly Origin[];
  /** When a pod last asked for its root; when it came into the store, if none did. */
  readonly lastUsedAt: number;
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
