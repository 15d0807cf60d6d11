import type { Image } from "../../image/contract.ts";
import type { Container } from "../../manifest/index.ts";
import { GantryError, isGantryError } from "../../system/errors.ts";
import type { PodScope } from "./scope.ts";
import { StepError } from "./step-error.ts";

/** @throws StepError InvalidImageName, ErrImageNeverPull, ErrImagePull */
export async function requireImage({ ports }: PodScope, { image: name, imagePullPolicy }: Container): Promise<Image> {
  let image: Image | undefined;
  try {
    image = await ports.images.resolve(name);
  } catch (error) {
    throw new StepError(isGantryError(error, "name-invalid") ? "InvalidImageName" : "ErrImagePull", error);
  }
  if (image !== undefined) return image;
  const missing = new GantryError("image-missing", `image ${name} is not in the store`, {
    hint: `import it with 'gantry image import FILE ${name}'`,
  });
  throw new StepError(imagePullPolicy === "Never" ? "ErrImageNeverPull" : "ErrImagePull", missing);
}
