import { expect, test } from "vitest";
import { readEmbed } from "../src/embed.js";

test("only the address of a frame is one, and what is nonsense is left out", () => {
  expect(readEmbed("/", "?theme=dark")).toBeNull();
  expect(readEmbed("/embedded", "")).toBeNull();
  expect(readEmbed("/live/embed", "")).toEqual({ theme: null, parts: new Set(["score", "map"]), colours: new Map() });
  expect(readEmbed("/embed", "?theme=dark&parts=map,%20numbers,x&accent=%23FF6600&ink=112233&card=red&line=12345;&ground=url(x)")).toEqual({
    theme: "dark", parts: new Set(["map", "numbers"]), colours: new Map([["ink", "#112233"], ["accent", "#ff6600"]]),
  });
  expect(readEmbed("/embed", "?theme=blue&parts=x")).toEqual({ theme: null, parts: new Set(["score", "map"]), colours: new Map() });
});
