/** Why an encrypted file can't be read: for its author, so with what to do, and never with what is in it. */
export class Undecryptable extends Error {
  override readonly name = "Undecryptable";
  readonly hint: string;
  /** Counted from 1. */
  readonly line: number;
  readonly column: number;

  constructor(message: string, hint: string, at: { readonly line: number; readonly column: number } = START) {
    super(message);
    this.hint = hint;
    this.line = at.line;
    this.column = at.column;
  }
}

const START = { line: 1, column: 1 };
