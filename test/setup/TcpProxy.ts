import { connect, createServer, type Server, type Socket } from "node:net"
import { Effect, type Scope } from "effect"

/**
 * What becomes of a client's traffic:
 * - `flows`: it goes through;
 * - `cut`: its connections are reset, new ones too;
 * - `hangs`: nothing goes through and nobody is told. What was sent meanwhile arrives late, when it flows again.
 */
export type Traffic = "flows" | "cut" | "hangs"

export interface Options {
  /** Port of the server on 127.0.0.1. */
  readonly target: number
  /** Port to listen on. Default: a free one. */
  readonly port?: number
  /** Names the client of a connection by the first bytes that it sends: who shares a name shares its fate. */
  readonly clientOf: (first: Buffer) => string
}

/** Stands between clients that speak first (those of MongoDB and Redis do) and a server, and can cut them off. */
export interface TcpProxy {
  readonly port: number
  readonly set: (client: string, traffic: Traffic) => Effect.Effect<void>
}

/** One client's connection, and its way on to the server. */
class Link {
  readonly #client: Socket
  readonly #first: Buffer
  readonly #target: number
  #server: Socket | undefined

  constructor(client: Socket, first: Buffer, target: number) {
    this.#client = client
    this.#first = first
    this.#target = target
  }

  follow(traffic: Traffic): void {
    if (traffic === "cut") this.reset()
    else if (traffic === "hangs") this.#hang()
    else this.#flow()
  }

  reset(): void {
    this.#client.resetAndDestroy()
    this.#server?.resetAndDestroy()
  }

  #hang(): void {
    // What nobody reads stays in the system's buffers, as on a network that has lost its way.
    this.#client.unpipe().pause()
    this.#server?.unpipe().pause()
  }

  #flow(): void {
    const client = this.#client
    const server = (this.#server ??= this.#connect())
    client.pipe(server)
    server.pipe(client)
  }

  #connect(): Socket {
    const server = connect({ host: "127.0.0.1", port: this.#target, noDelay: true })
    server.write(this.#first)
    // A pipe passes an end on, but no reset.
    server.on("error", () => this.#client.destroy())
    server.on("close", () => this.#client.end())
    this.#client.on("close", () => server.end())
    return server
  }
}

const listen = (server: Server, port: number): Effect.Effect<number> =>
  Effect.async((resume) => {
    server.once("error", (error) => resume(Effect.die(error)))
    server.listen({ port, host: "127.0.0.1" }, () => {
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
    })
  })

/** Runs until the end of the scope. */
export const make = (options: Options): Effect.Effect<TcpProxy, never, Scope.Scope> =>
  Effect.gen(function* () {
    const traffics = new Map<string, Traffic>()
    const sockets = new Set<Socket>()
    const links = new Map<Link, string>()

    const server = createServer({ noDelay: true }, (socket) => {
      sockets.add(socket)
      // What goes wrong with a connection ends it; its other side learns of it by the close.
      socket.on("error", () => undefined)
      socket.on("close", () => sockets.delete(socket))
      socket.once("data", (first: Buffer) => {
        socket.pause()
        const client = options.clientOf(first)
        const link = new Link(socket, first, options.target)
        links.set(link, client)
        socket.on("close", () => links.delete(link))
        link.follow(traffics.get(client) ?? "flows")
      })
    })
    yield* Effect.addFinalizer(() =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const link of links.keys()) link.reset()
        for (const socket of sockets) socket.destroy()
      })
    )
    const port = yield* listen(server, options.port ?? 0)

    const set = (client: string, traffic: Traffic) =>
      Effect.sync(() => {
        traffics.set(client, traffic)
        for (const [link, name] of links) if (name === client) link.follow(traffic)
      })
    return { port, set }
  })
