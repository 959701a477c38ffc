// SPDX-License-Identifier: Apache-2.0
package dev.halftone.cli;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Keeps a second run out of a folder of results: two would write one manifest. It ends with the process, however that ends. */
final class FolderLock implements AutoCloseable {
    private static final String NAME = ".halftone-lock";

    private final Path file;
    private final FileChannel channel;

    private FolderLock(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
    }

    /**
     * Locks a folder.
     *
     * @throws UsageException if another run has it
     */
    static FolderLock of(Path folder) throws IOException {
        Path file = folder.resolve(NAME);
        while (true) {
            FileChannel channel = open(file);
            if (!locked(channel)) {
                channel.close();
                throw new UsageException(
                        folder + " is in use by another run; wait for its end, or name another folder");
            }
            if (Files.exists(file)) {
                file.toFile().deleteOnExit(); // after Ctrl-C nobody closes it
                return new FolderLock(file, channel);
            }
            channel.close(); // its last holder deleted it between our two calls
        }
    }

    private static FileChannel open(Path file) throws IOException {
        try {
            return FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw new IOException("the folder " + file.getParent() + " takes no new files", e);
        }
    }

    private static boolean locked(FileChannel channel) throws IOException {
        try {
            return channel.tryLock() != null;
        } catch (OverlappingFileLockException e) {
            return false; // another run in this very process
        }
    }

    @Override
    public void close() throws IOException {
        Files.deleteIfExists(file);
        channel.close();
    }
}
