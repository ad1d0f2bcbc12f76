/** A JSON Web Token, or a function that gets one: called before each connect, and some time before the last one expires. */
export type Token = string | (() => string | Promise<string>);

/** Milliseconds that a token is still valid; 0 where it does not say. */
export function lifetime(token: string): number {
  try {
    const claims = JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/"))) as { exp?: number };
    return Number(claims.exp) * 1_000 - Date.now() || 0;
  } catch {
    return 0;
  }
}
