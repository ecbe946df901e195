package quic

import (
	"time"

	"github.com/boringquic/boringquic/quic/internal/recovery"
)

// Every bound on what a peer can make us hold, in one place. Each has a test that reaches it.
const (
	// minDatagramSize is the size that a datagram with an Initial packet is padded to (RFC 9000, section 14.1).
	minDatagramSize = recovery.BaseDatagram

	// maxUDPPayloadSize is the largest payload of a UDP datagram over IP (RFC 9000, section 18.2).
	maxUDPPayloadSize = 65527

	// maxUDPPayloadIPv4 is the same over IPv4, whose length field counts the header too.
	maxUDPPayloadIPv4 = 65507

	// maxPaths bounds the paths of a connection that are known at a time: the one in use, the one before it and
	// others that the peer sent from.
	maxPaths = recovery.MaxPaths

	// newPathBurst and newPathRate bound how fast paths are made for addresses that authentic packets came from: a bucket of that
	// many, refilled at that many a second: no NAT is known to give its clients more, and whoever copies packets from made-up addresses has
	// us send to that many at most (RFC 9000, section 21.5.4). A packet from one address more counts like any other, but is no reason to send there.
	newPathBurst = 64
	newPathRate  = 32

	// maxPathEvents is how many path events wait to be read; older ones are dropped.
	maxPathEvents = 16

	// maxPathChallenges is how many PATH_CHALLENGE frames are sent on a path before it is given up.
	maxPathChallenges = 3

	// maxSessions bounds what of a server's tickets and tokens waits for the application, in events: the newest are kept.
	maxSessions = 4

	// maxNewTokens is how many NEW_TOKEN frames a client heeds in newTokenSpan; a server has one to give after the handshake, and after
	// each change of address.
	maxNewTokens = 16
	newTokenSpan = time.Minute

	// maxIssuedConnIDs is how many of our connection IDs a peer may have in use, whatever more it would take: one, and two for
	// paths to come. Each costs an idle connection some 150 bytes.
	maxIssuedConnIDs = 3

	// maxLateConnIDs is how many connection IDs that a peer has retired still lead to the connection, for three probe timeouts each: what a
	// path, and all of them when they are renewed, can have had. A peer that retires more at once may lose packets that were under way.
	maxLateConnIDs = 2 * maxIssuedConnIDs

	// maxShortConnIDLen is the length in bytes up to which connection IDs, made at random, come again before long: which a connection has had
	// is remembered, so that it gets none twice (RFC 9000, section 5.1). It gets no more after maxSpentConnIDs that its peer has retired.
	maxShortConnIDLen = 3
	maxSpentConnIDs   = 1024

	// maxConnIDLen is the longest connection ID of version 1, in bytes (RFC 9000, section 17.2).
	maxConnIDLen = 20

	// minInitialDCIDLen is the shortest Destination Connection ID of a client's first Initial (RFC 9000, section 7.2).
	minInitialDCIDLen = 8

	// statelessResetTokenLen is the length of a stateless reset token in bytes (RFC 9000, section 10.3).
	statelessResetTokenLen = 16

	// statelessResetBurst and statelessResetRate bound the stateless resets that an endpoint sends: a bucket of that many,
	// refilled at that many a second (RFC 9000, section 10.3.3).
	statelessResetBurst = 1000
	statelessResetRate  = 1000

	// retryTokenLife and newTokenLife are how long tokens of Retry, unless Config.HandshakeTimeout is longer, and of NEW_TOKEN are
	// good, by the clock of the server that made them; tokenClockSkew is how far another server's may be ahead (RFC 9000, sections 8.1.3 and 8.1.4).
	retryTokenLife = 10 * time.Second
	newTokenLife   = 24 * time.Hour
	tokenClockSkew = 2 * time.Second

	// retryAbove is what part of Config.MaxHandshakes clients take up that have not proved their address: above a fourth of it they
	// have to, by a Retry. maxFailed bounds connections that were closed before their handshake was complete, and which are kept
	// until they are drained, as a multiple of Config.MaxHandshakes.
	retryAbove = 4
	maxFailed  = 4

	// maxPTO bounds the probe timeout as a measure of other times, unless twice Config.HandshakeTimeout is more: three of them are how
	// long a peer that is silent is waited for beyond the idle timeout, and how long a closed connection is kept (RFC 9000, sections
	// 10.1 and 10.2). One whose handshake was not complete is kept for maxFailedLife at most.
	maxPTO        = 40 * time.Second
	maxFailedLife = 10 * time.Second

	// maxSeenTokens is how many tokens of NEW_TOKEN are remembered after their use, so that they serve once.
	maxSeenTokens = 4096

	// maxAmplification bounds what we send to an address that is not validated, as a multiple of what came from it (RFC 9000, section 8.1):
	// Config.AmplificationFactor is no more.
	maxAmplification = 3

	// maxCryptoBufferHandshake and maxCryptoBufferApp bound out-of-order CRYPTO data per level, in bytes beyond what TLS has
	// consumed, during and after the handshake; past them stands CRYPTO_BUFFER_EXCEEDED (RFC 9000, section 7.5).
	maxCryptoBufferHandshake = 64 << 10
	maxCryptoBufferApp       = 16 << 10

	// maxAckRanges is how many ranges of received packet numbers are kept per space, the newest ones.
	maxAckRanges = 64

	// maxStreamGaps bounds the separate pieces of out-of-order data a receive stream or CRYPTO stream may hold.
	maxStreamGaps = 1000

	// maxGapBytes bounds the bookkeeping for out-of-order pieces over all streams of a connection, in bytes.
	maxGapBytes = 256 << 10

	// What is remembered of sent packets, for each packet number space (package recovery). maxInFlight packets that elicit an
	// acknowledgement, or maxFramesNoted frames, hold data back; acknowledgements and probes are sent at all times. Beside twice the
	// packets in flight maxPacketsBehind are remembered of 1-RTT packets, and maxPacketsBehindEarly of Initial and Handshake packets
	// each; the oldest go first, and are taken for lost. A packet takes 24 bytes, a frame as many.
	maxInFlight           = recovery.MaxInFlight
	maxFramesNoted        = recovery.MaxFramesNoted
	maxPacketsBehind      = recovery.MaxBehind
	maxPacketsBehindEarly = recovery.MaxBehindEarly

	// maxSkippedStreams is how many streams of ours of one type may be open that were never used, since the application has used one
	// above them (OpenStreamID): the peer can have us keep state for each of them.
	maxSkippedStreams = 4096

	// maxPathResponses bounds PATH_RESPONSE frames queued; older ones are dropped.
	maxPathResponses = 16

	// usualConnIDLimit is the active_connection_id_limit that we announce (RFC 9000, section 18.2) unless Config.ActiveConnIDLimit says
	// otherwise, maxConnIDLimit the largest.
	usualConnIDLimit = 4
	maxConnIDLimit   = 16

	// retiredConnIDs bounds RETIRE_CONNECTION_ID frames not yet acknowledged, as a multiple of that limit, past
	// which stands CONNECTION_ID_LIMIT_ERROR.
	retiredConnIDs = 3

	// maxUndecryptable is how many packets that came before their keys are kept per connection, at most
	// maxUndecryptableBytes in all.
	maxUndecryptable      = 10
	maxUndecryptableBytes = 16 << 10

	// maxHastened is how often a server sends its first flight again because the client repeats its ClientHello, which costs who repeats it
	// nothing, beside the probe timeouts. RFC 9002, section 6.2.3, wants a bound and finds one time enough against one loss. maxHastenedClient is how
	// often a client does because packets come too early: those behind the first one show nothing more.
	maxHastened       = 3
	maxHastenedClient = 1

	// maxEarlyPackets is how many 0-RTT packets that came before their keys are kept beside those, in maxUndecryptableBytes too.
	//
	// Those that come before the Initial packet of their connection the Endpoint keeps: of maxEarlyAttempts connections at most, as many and
	// as many bytes of each, for maxEarlyWait. With an address in it that nobody has, such a packet takes the place of an honest
	// one, which is then sent again.
	maxEarlyPackets  = 31
	maxEarlyAttempts = 32
	maxEarlyWait     = 100 * time.Millisecond

	// maxHeldStops is how many STOP_SENDING frames of a connection wait for stopDelay; beyond that the one leaves that has waited longest.
	maxHeldStops = 256

	// maxDatagramQueue bounds DATAGRAM frames received and not yet read; the oldest is dropped. The same number
	// bounds those queued for sending.
	maxDatagramQueue = 128

	// maxPostHandshakeCrypto bounds CRYPTO data after the handshake, in bytes an hour, in which what is sent again does not count.
	maxPostHandshakeCrypto = 64 << 10

	// glitchBurst and glitchRate bound frames with no effect: a bucket of that many, refilled at that many a second, and by one for each
	// frame that brings new stream data.
	glitchBurst = 10000
	glitchRate  = 330

	// maxTokenLen is the longest token of a Retry packet or a NEW_TOKEN frame that a client takes, in bytes: every Initial
	// packet carries it, beside which 1,200 bytes must have room for a ClientHello.
	maxTokenLen = 900

	// maxOfferedVersions is how many versions of a Version Negotiation packet, or of version_information, an error names.
	maxOfferedVersions = 32

	// maxTracedParams and maxTracedParam bound what a trace tells of transport parameters that the drafts of qlog have no field for: how many,
	// and the bytes of one's value.
	maxTracedParams = 64
	maxTracedParam  = 128

	// maxReasonLen bounds the reason phrase of CONNECTION_CLOSE that we send, in bytes.
	maxReasonLen = 256

	// keyUpdateAfter is how many packets are sealed with one 1-RTT key before we update it, well below the
	// confidentiality limit of 2^23 packets of AES-GCM (RFC 9001, section 6.6).
	keyUpdateAfter = 1 << 22

	// confidentialityLimitGCM is how many packets one key of AES-GCM may seal (RFC 9001, section 6.6); ChaCha20 has no limit.
	confidentialityLimitGCM = 1 << 23

	// integrityLimitGCM and integrityLimitChaCha bound packets that fail authentication (RFC 9001, section 6.6).
	integrityLimitGCM    = 1 << 52
	integrityLimitChaCha = 1 << 36

	// maxIdleTimeoutCap bounds a peer's max_idle_timeout, and ours, so that sums of times never overflow.
	maxIdleTimeoutCap = 24 * time.Hour
)
