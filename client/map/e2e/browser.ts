// Debian's Chromium, drawing with the processor, and a page that is watched for what it must not do.
import { type Browser as Chromium, type BrowserContext, chromium, type Page } from "playwright-core";
import { AT, LAUNCH } from "./chromium.js";

export interface Look {
  readonly width?: number;
  readonly height?: number;
  readonly colorScheme?: "light" | "dark";
  readonly isPhone?: boolean;
  readonly isCalm?: boolean;
  readonly locale?: string;
  readonly timezoneId?: string;
  /** Runs in the page before its own scripts. */
  readonly before?: () => void;
}

/** What a page did that it must not. */
export class Watched {
  readonly faults: string[] = [];
  /** While the relay is away, the browser itself reports each attempt that fails. */
  mayFail = false;
  /** The drawing context was taken away: the libraries say so. */
  mayLose = false;

  /** `others`: addresses that the page may ask, beside its own. */
  constructor(readonly page: Page, origin: string, others: readonly string[] = []) {
    page.on("pageerror", (error) => this.faults.push(`uncaught: ${error.message}`));
    page.on("console", (message) => {
      if (!["error", "warning"].includes(message.type())) return;
      // The processor draws here, and says so whenever a pixel is read.
      if (/GPU stall due to ReadPixels|Automatic fallback to software WebGL/.test(message.text())) return;
      if (this.mayFail && /WebSocket connection to|Failed to load resource/.test(message.text())) return;
      if (this.mayLose && /context ?lost|CONTEXT_LOST|lost context/i.test(message.text())) return;
      this.faults.push(`console: ${message.text()}`);
    });
    const hosts = [origin, ...others].map((url) => new URL(url).host);
    const isOwn = (url: string) => /^(data|blob):/.test(url) || hosts.includes(new URL(url).host);
    page.on("request", (request) => isOwn(request.url()) || this.faults.push(`request elsewhere: ${request.url()}`));
    page.on("websocket", (socket) => isOwn(socket.url()) || this.faults.push(`socket elsewhere: ${socket.url()}`));
  }
}

/** The one that all files of tests share, or one of its own where nobody has started it. */
function start(): Promise<Chromium> {
  const shared = process.env[AT];
  return shared ? chromium.connect(shared, { timeout: LAUNCH.timeout }) : chromium.launch(LAUNCH);
}

let browser: Promise<Chromium> | undefined;

/** A visitor's browser: what one page keeps, no later one sees. */
export class Browser {
  private readonly contexts: BrowserContext[] = [];

  async open(url: string, { width = 1440, height = 900, colorScheme = "light", isPhone = false, isCalm = false, locale, timezoneId, before }: Look = {}, others: readonly string[] = []): Promise<Watched> {
    const context = await (await (browser ??= start())).newContext({
      viewport: isPhone ? { width: 390, height: 844 } : { width, height },
      hasTouch: isPhone,
      isMobile: isPhone,
      colorScheme,
      reducedMotion: isCalm ? "reduce" : "no-preference",
      ...(locale && { locale }),
      ...(timezoneId && { timezoneId }),
    });
    if (before) await context.addInitScript(before);
    this.contexts.push(context);
    context.setDefaultTimeout(120_000);
    const page = await context.newPage();
    const watched = new Watched(page, url, others);
    await page.goto(url);
    return watched;
  }

  async close(): Promise<void> {
    for (const context of this.contexts.splice(0)) await context.close();
  }
}
