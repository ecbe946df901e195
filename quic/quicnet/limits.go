package quicnet

import "time"

const (
	// maxAcceptQueue is how many connections whose handshake is complete, or that have early data, wait for Accept. A connection that finds the queue
	// full is closed with CONNECTION_REFUSED, unless one that waits is closed already: that one makes way. Handshakes under way are bounded by quic.Config.MaxHandshakes.
	maxAcceptQueue = 1024

	// recvBatch and recvBatchDial are how many trains one system call receives at most, on a socket that listens and on one that
	// was made by Dial.
	recvBatch     = 8
	recvBatchDial = 4

	// recvBatchFirst is how many trains are received at first, each into 64 KiB: twice as many each time that as many have come twice in a row.
	recvBatchFirst = 2

	// trainRoom is the room that a train is packed into, in bytes.
	trainRoom = 64 << 10

	// sendRoom is the buffer that the trains of several turns, or connections, are packed into, in bytes. More than two trains
	// bring nothing.
	sendRoom = 2 * trainRoom

	// maxSendBatch is how many trains are sent together.
	maxSendBatch = 64

	// keepOutboxes is how many buffers for sending an endpoint keeps between uses.
	keepOutboxes = 4

	// turnTrains is how many trains a connection sends in one turn, before others have theirs. It bounds also how long a
	// Write works for the writes of others.
	turnTrains = 4

	// gatherAfter is how often a connection's goroutines send at once what they write, with nothing received in between, before
	// writes of less than gatherBelow bytes are gathered.
	gatherAfter = 2
	gatherBelow = 8 << 10

	// maxIdleWorkers is how many goroutines for the handlers of streams a socket keeps between streams.
	maxIdleWorkers = 256

	// keepTasks is for how many tasks that wait for such a goroutine a socket keeps room; those of a connection are bounded by its streams.
	keepTasks = 256

	// keepDatagrams is how many datagrams may wait to be received before their reader gets its turn, between one train and
	// the next: half of what the core keeps.
	keepDatagrams = 64

	// maxDue is how many connections whose time has come are dealt with in one turn.
	maxDue = 64

	// connIDPatience is how long AddPath and Migrate wait for the server to give another connection ID.
	connIDPatience = time.Second

	// storePatience is how long Close waits for a tls.ClientSessionCache that another goroutine has given a session to: should its code
	// close the connection itself, or hang, Close returns all the same.
	storePatience = time.Second

	// maxUntoldPathEvents is how many events wait for the program of a connection to be told of its paths; further ones are not told.
	maxUntoldPathEvents = 64

	// followAfterTimeouts is after how many probe timeouts without an answer it is looked whether the local address is gone.
	// followPause is how long a client waits before it looks again for another path, twice as long each time, at most maxFollowPause.
	followAfterTimeouts = 3
	followPause         = 250 * time.Millisecond
	maxFollowPause      = 5 * time.Second

	// replyRoom is the space that an answer of the endpoint itself takes, in bytes, and replyBatch how many are sent
	// together.
	replyRoom  = 1500
	replyBatch = 16

	// handshakeErrorBurst and handshakeErrorRate bound the calls of ListenConfig.OnHandshakeError, and what is logged: a bucket of that
	// many, refilled at that many a second. As many wait to be made.
	handshakeErrorBurst = 100
	handshakeErrorRate  = 10

	// minSpacing is how far away a timer is set at least that has passed already though nothing was to be done.
	minSpacing = time.Millisecond

	// maxSessionFile is how many bytes the file of a FileSessionCache may have, maxSessions how many entries, and maxSessionLen how many
	// bytes one of those, which is for one server. They stay for maxSessionAge.
	maxSessionFile = 1 << 20
	maxSessions    = 128
	maxSessionLen  = 128 << 10
	maxSessionAge  = 7 * 24 * time.Hour

	// maxSessionsEach is how many sessions one entry of a tls.ClientSessionCache holds, and so how many connections to a server can be
	// resumed at once.
	maxSessionsEach = 4
)
