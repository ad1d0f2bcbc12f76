import type { VoteError } from "./error.js";
import type { Choice, VoteOutcome, Voter } from "./voter.js";

/** Whose votes a relay takes: those of the subjects of tokens, or clicks, too. */
export type Door = "token" | "anonymous";

/** A vote of this page's own. */
export interface MyVote {
  readonly teamChoice: string;
  /** Where it was cast: as it was asked, or as the relay keeps it. Null: nowhere, or not known. */
  readonly h3Index: string | null;
}

export interface MyVoteState {
  /** As it was asked last, until the relay answers; then as it stands. Null: none, or not known. */
  readonly myVote: MyVote | null;
  /** A vote, or a retraction, is on its way. */
  readonly voting: boolean;
  /** Why the last one does not count; null when all is well. */
  readonly voteError: VoteError | null;
}

export const NO_VOTE: MyVoteState = { myVote: null, voting: false, voteError: null };

/** The vote of this page: shown at once, and put right by what the relay answers. */
export class MyVoteBox {
  state = NO_VOTE;
  /** What stands, and since which turn. */
  #known: MyVote | null = null;
  #turn = 0;
  /** What was asked and is not answered, in this order. */
  #asked: { readonly vote: MyVote | null }[] = [];
  #voter: Promise<Voter> | undefined;

  /** `makeVoter` loads what only a page that votes needs. */
  constructor(
    private readonly makeVoter: () => Promise<Voter>,
    private readonly onChange: () => void,
  ) {}

  castVote(choice: Choice): Promise<VoteOutcome> {
    return this.#send({ teamChoice: choice.teamChoice, h3Index: choice.h3Index ?? null }, (voter) => voter.castVote(choice));
  }

  retractVote(): Promise<VoteOutcome> {
    return this.#send(null, (voter) => voter.retractVote());
  }

  /** Asks for the vote that stands. */
  async loadVote(): Promise<MyVote | null> {
    const { turn, teamChoice, h3Index } = await (await this.#load()).getVote();
    this.#learn(turn ?? 0, teamChoice === null ? null : { teamChoice, h3Index });
    this.#publish(this.state.voteError);
    return this.#known;
  }

  /** Somebody else votes from now on. */
  forget(): void {
    [this.#known, this.#turn, this.#asked] = [null, 0, []];
    this.#publish(null);
  }

  async #send(vote: MyVote | null, send: (voter: Voter) => Promise<VoteOutcome>): Promise<VoteOutcome> {
    const asked = { vote };
    this.#asked.push(asked);
    this.#publish(null);
    let failure: VoteError | null = null;
    try {
      const result = await send(await this.#load());
      const standing = result.vote;
      if (!this.#asked.includes(asked)) return result;
      if (standing) this.#learn(standing.turn ?? result.turn, standing.teamChoice === null ? null : { teamChoice: standing.teamChoice, h3Index: null });
      else if (result.outcome !== "superseded") this.#learn(result.turn, vote);
      return result;
    } catch (error) {
      const { code = "failed", message } = error as Partial<VoteError> & Error;
      failure = { code, message };
      throw error;
    } finally {
      const isLast = this.#asked.at(-1) === asked;
      const isKnown = this.#asked.includes(asked);
      this.#asked = this.#asked.filter((each) => each !== asked);
      if (isKnown) this.#publish(isLast ? failure : this.state.voteError);
    }
  }

  #load(): Promise<Voter> {
    // What could not be loaded may be the next time.
    return (this.#voter ??= this.makeVoter().catch((error: unknown) => {
      this.#voter = undefined;
      throw error;
    }));
  }

  #learn(turn: number, vote: MyVote | null): void {
    if (turn < this.#turn) return;
    this.#turn = turn;
    this.#known = vote;
  }

  #publish(voteError: VoteError | null): void {
    const asked = this.#asked.at(-1);
    const { myVote, voting, voteError: error } = this.state;
    const next = { myVote: asked ? asked.vote : this.#known, voting: !!asked, voteError };
    if (next.myVote === myVote && next.voting === voting && next.voteError === error) return;
    this.state = next;
    this.onChange();
  }
}
