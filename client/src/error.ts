/** A fault: a word for programs and a sentence for people. */
export interface VoteError {
  readonly code: string;
  readonly message: string;
}
